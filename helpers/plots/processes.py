"""Schematics of what happens in which order: a prompt against finetuning, momentum from layer to layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.plots.drawing import MUTED, ROLES, SMALL, Area, arrow, box, frame, heading, sheet, text
from helpers.plots.page import INK, WIDTH, Title, in_style, show

THIRD = WIDTH / 3
SIDE = Area(0.1, 0, THIRD - 0.32, 0)  # left end and width of what stands in a way's panel
WAYS = {"zero-shot": "ZSL", "in context": "ICL", "finetuned": "FT"}
STEP, FLOOR = 0.4, 0.5  # inches from a layer to the next, and from the lowest to the sheet's end
NARROW = 2.5  # inches: the panel of the layers


@in_style
def prompt_against_finetuning(model: str, demos: Sequence[tuple[str, str]], query: str, title: Title) -> None:
    """Nothing, the same demonstrations (text, label) in front of the query, or gradient steps on them before it."""
    figures = [_way(way, model, demos, query) for way in WAYS]
    alt = (
        f"Three panels. Zero-shot: {model} reads the query alone. In context: it reads {len(demos)} demonstrations, "
        f"then the query; no weight changes. Finetuned: the {len(demos)} demonstrations make as many gradient steps on "
        "W_K and W_V; then it reads the query alone. Compared: answer, attention's output h and its scores m."
    )
    show(figures, title, alt)


def _way(way: str, model: str, demos: Sequence[tuple[str, str]], query: str) -> Figure:
    """What one of the three ways reads, which weights answer, and what is looked at."""
    figure, axes = sheet(THIRD, 3.9)
    heading(axes, way, 60)
    examples, asked = Area(SIDE.left, 0.42, SIDE.width, 0.86), Area(SIDE.left, 1.36, SIDE.width, 0.42)
    network, seen = Area(SIDE.left, 2.14, SIDE.width, 0.76), Area(SIDE.left, 3.2, SIDE.width, 0.3)
    tuned, name = way == "finetuned", WAYS[way]
    if way == "zero-shot":
        text(axes, examples.x, examples.y, "no demonstrations", MUTED, SMALL)
    else:
        _block(axes, examples, _some(demos), f"{len(demos)} demonstrations", "demonstrations")
    _block(axes, asked, [f"{_short(query, 19)} → ?"], "query", "query")
    if way == "in context":
        frame(axes, Area(examples.left - 0.05, 0.37, SIDE.width + 0.1, 1.46), MUTED, 1)
    arrow(axes, (asked.x, asked.bottom + 0.06), (network.x, network.top - 0.03))
    _network(axes, network, model, tuned)
    if tuned:
        edge = network.right + 0.14
        axes.plot([examples.right, edge, edge], [examples.y, examples.y, network.y + 0.16], color=ROLES["finetuned"])
        arrow(axes, (edge, network.y + 0.16), (network.right - 0.1, network.y + 0.16), ROLES["finetuned"])
        text(axes, edge - 0.06, 1.96, f"{len(demos)} steps", ROLES["finetuned"], SMALL, ha="right")
    arrow(axes, (network.x, network.bottom + 0.03), (seen.x, seen.top - 0.03))
    box(axes, seen, rf"answer, $h_\mathrm{{{name}}}$, $m_\mathrm{{{name}}}$", INK, fill=0.04)
    compared = "what both start from" if way == "zero-shot" else rf"update $h_\mathrm{{{name}}} - h_\mathrm{{ZSL}}$"
    text(axes, seen.x, seen.bottom + 0.18, compared, MUTED)
    return figure


def _block(axes: Axes, area: Area, lines: Sequence[str], name: str, role: str) -> None:
    """Lines of a prompt on a tint, under what they are."""
    box(axes, Area(area.left, area.top, area.width, area.height), "", ROLES[role], edge=0)
    text(axes, area.left + 0.06, area.top + 0.11, name, ROLES[role], SMALL, ha="left")
    for place, line in enumerate(lines, 1):
        text(axes, area.left + 0.06, area.top + 0.11 + 0.19 * place, line, size=SMALL, ha="left")


def _network(axes: Axes, area: Area, model: str, tuned: bool) -> None:
    """The model, with the two kinds of weights that finetuning moves."""
    box(axes, area, "", MUTED, fill=0.08)
    text(axes, area.left + 0.08, area.top + 0.14, _short(model, 26), size=SMALL, ha="left")
    colour, said = (ROLES["finetuned"], "moved") if tuned else (MUTED, "unchanged")
    for left, name in ((0.1, "$W_K$"), (0.5, "$W_V$")):
        box(axes, Area(area.left + left, area.top + 0.34, 0.34, 0.28), name, colour, fill=0.3 if tuned else 0.05)
    text(axes, area.left + 0.92, area.top + 0.48, said, colour, SMALL, ha="left")


def _some(demos: Sequence[tuple[str, str]]) -> list[str]:
    """The first demonstrations and the last, each in a short line."""
    lines = [f"{_short(words, 19)} → {_short(label, 7)}" for words, label in demos]
    return lines if len(lines) < 4 else [*lines[:2], f"…  {lines[-1]}"]


def _short(words: str, most: int) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(words.split())
    return line if len(line) <= most else line[: most - 1].rstrip(" ,.:;") + "…"


@in_style
def momentum_across_layers(
    plain: np.ndarray, momentum: np.ndarray, beta: float | int, target: float | int, title: Title
) -> None:
    """Layers as steps (eq. 6.4): the prediction before and after each layer [layers + 1], without and with momentum."""
    height = STEP * (len(plain) - 1) + 1.5
    figures = [_stack(len(plain) - 1, beta, height), _predictions(plain, momentum, beta, target, height)]
    alt = (
        f"Left: {len(plain) - 1} layers, one above the other, each a gradient step; an arrow past each layer hands the "
        f"move before it on, times {beta:g}. Right: the prediction after each layer. The true answer is {target:.2f}; "
        f"after the last layer plain ones say {plain[-1]:.2f}, those with momentum {momentum[-1]:.2f}."
    )
    show(figures, title, alt)


def _stack(layers: int, beta: float | int, height: float) -> Figure:
    """The layers from below upwards, each with the skip that carries the last move past it."""
    figure, axes = sheet(NARROW, height)
    heading(axes, "A layer is a step", 60)
    floor, middle = height - FLOOR, 0.85
    text(axes, middle, floor + 0.14, "$e^{(0)}$")
    for layer in range(layers):
        bottom = floor - STEP * layer
        area = box(axes, Area(middle - 0.42, bottom - 0.31, 0.84, 0.22), f"layer {layer + 1}", INK, fill=0.05, edge=1)
        arrow(axes, (middle, area.top), (middle, bottom - STEP - 0.08), INK)
        if layer:
            start, end = (area.right, area.y + STEP), (middle + 0.05, bottom - STEP - 0.02)
            arrow(axes, start, end, ROLES["error"], connectionstyle="arc3,rad=0.55", lw=1.2)
    said = f"past the layer,\nthe last move\ntimes {beta:g}"
    text(axes, 1.48, floor - STEP * 1.6, said, ROLES["error"], SMALL, ha="left", linespacing=1.2)
    return figure


def _predictions(
    plain: np.ndarray, momentum: np.ndarray, beta: float | int, target: float | int, height: float
) -> Figure:
    """The prediction after every layer, at the layer's height; across: what momentum adds there."""
    figure, around = sheet(WIDTH - NARROW, height)
    heading(around, "What the stack says after each layer", 60)
    axes = figure.add_axes((0.05, FLOOR / height, 0.9, STEP * (len(plain) - 1) / height), facecolor="none")
    layers = np.arange(len(plain))
    axes.axvline(target, color=MUTED, ls="--", lw=1.2)
    moves = beta * np.diff(momentum, prepend=momentum[0])
    axes.hlines(layers, momentum, momentum + moves, color=ROLES["error"], alpha=0.3, lw=5)
    lines = ((plain, "without momentum", ROLES["q"]), (momentum, "with; pale: what the last move adds", ROLES["error"]))
    for place, (values, name, colour) in enumerate(lines):
        axes.plot(values, layers, "os"[place], ls="-", color=colour, ms=4.5, lw=1.6, clip_on=False)
        text(around, 0.06, 0.38 + 0.18 * place, name, colour, SMALL, ha="left")
    text(around, 0.06, 0.74, "- - the true answer", MUTED, SMALL, ha="left")
    axes.set(ylim=(0, len(plain) - 1), yticks=layers[1:], xlabel="prediction")
    return figure
