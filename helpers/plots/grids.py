"""What is a table of numbers or of pictures: matrices, attention to tokens, right and wrong answers, small images."""

import math
import re
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from helpers.plots.page import BLUE, INK, ORANGE, SIGNED, UNSIGNED, WIDTH, Title, canvas, check_any, in_style, show

HUES = {True: (SIGNED, "PuOr", "BrBG_r"), False: (UNSIGNED, "Purples", "Greens", "Oranges")}  # signed or not
SMALL, FAINT, EDGE = 9, "#5f5f5f", "#c9c9c4"
LEFT, BELOW, BAR, LINE, LETTER = 0.58, 0.5, 0.8, 0.18, 0.076  # inches: beside and below a map, its bar, its title


@in_style
def matrices(
    panels: dict[str, np.ndarray], xlabel: str, ylabel: str, title: Title, numbers: str = "", first: int = 0
) -> None:
    """Matrices side by side: on one scale, white at 0, or each in a hue of its own with its numbers; nan is blank.

    `numbers` is the format in which they stand in their cells; rows and columns are counted from `first`.
    """
    check_any(panels)
    cell = 0.4 if numbers else _cell([panel.shape[1] for panel in panels.values()])
    names = _even([textwrap.fill(name, max(8, int(panel.shape[1] * cell * 12))) for name, panel in panels.items()])
    shared, figures = _limits(*panels.values()), []
    for place, (name, panel) in enumerate(zip(names, panels.values(), strict=True)):
        low, high = _limits(panel) if numbers else shared
        hues = HUES[low < 0]
        own = f"\nwhite {0 if low < 0 else _said(low)}, darkest {'±' * (low < 0)}{_said(high)}" if numbers else ""
        axes = _sheet(panel.shape, cell, name + own, place == len(panels) - 1 and not numbers)
        image = axes.imshow(panel, cmap=hues[place % len(hues)] if numbers else hues[0], vmin=low, vmax=high)
        _ticks(axes, panel.shape, cell, first)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if numbers:
            _numbers(axes, panel, image, numbers)
        figures.append(axes.figure)
    if not numbers:
        _bar(figures[-1], image)
    ranges = ((name, np.nanmin(panel), np.nanmax(panel)) for name, panel in panels.items())
    summary = "; ".join(f"{name} from {low:.1f} to {high:.1f}" for name, low, high in ranges)
    show(figures, title, f"{ylabel} against {xlabel}: {summary}.")


def _limits(*panels: np.ndarray) -> tuple[float, float]:
    """The ends of the scale: as far below 0 as above where there is anything below."""
    low, high = (float(end([end(panel) for panel in panels])) for end in (np.nanmin, np.nanmax))
    return (-max(-low, high), max(-low, high)) if low < 0 else (low, high)


def _said(number: float) -> str:
    return _minus(f"{number:.3g}")


def _minus(text: str) -> str:
    """A real minus before digits, and hyphens as they are."""
    return re.sub(r"-(?=\d)", "−", text)


def _cell(columns: list[int]) -> float:
    """The side of a cell, in inches: as few lines of panels as leave cells that can be seen."""
    for lines in range(1, len(columns) + 1):
        per = math.ceil(len(columns) / lines)
        cell = (WIDTH - BAR - per * (LEFT + 0.1)) / (per * max(columns))
        if cell >= 0.19:
            break
    return min(max(cell, 0.1), 0.4)


def _even(names: list[str]) -> list[str]:
    """Titles of as many lines each, so that all maps stand at one height."""
    most = max(name.count("\n") for name in names)
    return ["\n" * (most - name.count("\n")) + name for name in names]


def _sheet(shape: tuple[int, ...], cell: float, name: str, bar: bool) -> Axes:
    """A panel around a map whose cells have this size, with room for a bar at its right."""
    tall, wide = (count * cell for count in shape)
    lines = name.split("\n")
    width = LEFT + max(wide + (BAR if bar else 0.1), LETTER * max(map(len, lines)))
    height = BELOW + tall + LINE * len(lines) + 0.1
    figure = plt.figure(figsize=(width, height), layout="none")
    axes = figure.add_axes((LEFT / width, BELOW / height, wide / width, tall / height))
    axes.set_title(name, fontsize=SMALL)
    axes.spines[:].set(visible=True, color=EDGE)
    return axes


def _ticks(axes: Axes, shape: tuple[int, ...], cell: float, first: int) -> None:
    """A number for every row and column, or for every fifth."""
    for axis, size in ((axes.yaxis, shape[0]), (axes.xaxis, shape[1])):
        places = range(0, size, 1 if size < 12 and cell > 0.18 else 5)
        axis.set_ticks(places, [place + first for place in places])
        axis.set_tick_params(length=0, labelsize=SMALL)


def _bar(figure: Figure, image: AxesImage) -> None:
    """The scale of colours, exactly as tall as the map."""
    box = figure.axes[0].get_position()
    place = (box.x1 + 0.1 / figure.get_figwidth(), box.y0, 0.12 / figure.get_figwidth(), box.height)
    low, high = image.get_clim()
    scale = figure.colorbar(image, cax=figure.add_axes(place), ticks=[low, 0, high] if low < 0 else [low, high])
    scale.ax.set_yticklabels(map(_said, scale.get_ticks()), fontsize=SMALL)
    scale.outline.set_edgecolor(EDGE)
    scale.ax.tick_params(length=0)


def _numbers(axes: Axes, panel: np.ndarray, image: AxesImage, form: str) -> None:
    """Every entry in its cell, white on dark; a line around each, so that a 0 is no blank."""
    for (i, j), number in np.ndenumerate(panel):
        if not np.isnan(number):
            bright = np.dot(image.cmap(image.norm(number))[:3], (0.3, 0.59, 0.11))
            axes.text(j, i, _minus(format(number, form)), ha="center", va="center", fontsize=SMALL,
                      color=INK if bright > 0.5 else "white")  # fmt: skip
            axes.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec=EDGE, lw=0.6))


@in_style
def maps(rows: dict[str, np.ndarray], tokens: list[str], title: Title) -> None:
    """Attention to the same tokens under several readings [tokens], each row on its own scale; long texts break."""
    check_any(rows)
    lines = math.ceil(len(tokens) / 26)
    per, letters = math.ceil(len(tokens) / lines), min(max(map(len, tokens)), 16)
    left, below, tall = 0.085 * max(map(len, rows)) + 0.15, 0.066 * letters + 0.12, 0.28 * len(rows)
    cell = min((WIDTH - left - 0.1) / per, 0.34)
    height = lines * (tall + below + 0.06) + 0.3
    figure = plt.figure(figsize=(WIDTH, height), layout="none")
    figure.text(
        left / WIDTH, 1 - 0.06 / height, "each row: white least, darkest most", va="top", color=FAINT, fontsize=SMALL
    )
    grid = np.array([(row - row.min()) / (np.ptp(row) or 1) for row in rows.values()])
    for line in range(lines):
        some = slice(line * per, (line + 1) * per)
        bottom = height - 0.3 - line * (tall + below + 0.06) - tall
        wide = cell * len(tokens[some])
        axes = figure.add_axes((left / WIDTH, bottom / height, wide / WIDTH, tall / height))
        axes.imshow(grid[:, some], cmap=UNSIGNED, aspect="auto", vmin=0, vmax=1)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(tokens[some])), [token[:16] for token in tokens[some]], rotation=90, fontsize=SMALL)
        axes.hlines(np.arange(1, len(rows)) - 0.5, -0.5, len(tokens[some]) - 0.5, color=axes.get_facecolor(), lw=3)
        axes.spines[:].set(visible=True, color=EDGE)
        axes.tick_params(length=0)
    strongest = "; ".join(f"{name}: {tokens[int(row.argmax())].strip()}" for name, row in rows.items())
    show(figure, title, f"Attention to {len(tokens)} tokens in {len(rows)} rows; strongest: {strongest}.")


@in_style
def recovered(zero_shot: np.ndarray, finetuned: np.ndarray, in_context: np.ndarray, title: Title) -> None:
    """Rec2FTP in one picture: a column a query, dark where right [n]; framed: what finetuning fixed."""
    rows = np.array([zero_shot, finetuned, in_context], dtype=int)
    rows = rows[:, np.lexsort((rows[2], rows[1], -rows[0]))[::-1]]
    fixed = np.flatnonzero((rows[0] == 0) & (rows[1] == 1))
    figure, axes = canvas(WIDTH, 1.7)
    axes.imshow(rows, cmap=ListedColormap(["#e3e3e3", BLUE]), aspect="auto", vmin=0, vmax=1)
    axes.set_yticks(range(3), ["zero-shot", "finetuned", "in context"])
    axes.hlines([0.5, 1.5], -0.5, rows.shape[1] - 0.5, color=axes.get_facecolor(), lw=3)
    if len(fixed):
        frame = plt.Rectangle((fixed[0] - 0.5, -0.45), len(fixed), 2.9, fill=False, ec=ORANGE, lw=2.5, clip_on=False)
        axes.add_patch(frame)
    axes.set(xlabel="queries, sorted (blue: right; framed: what finetuning fixed)")
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="y", length=0)
    hits = rows[2, fixed].sum()
    show(figure, title, f"Finetuning fixed {len(fixed)} of {rows.shape[1]} queries, the prompt {hits} of those.")


@in_style
def pictures(rows: dict[str, list[tuple[np.ndarray, str]]], title: Title) -> None:
    """Rows of small grey pictures, each with a line of text under it; the name of a row stands above it."""
    check_any(rows)
    lines = [(name if not start else "", row[start : start + 8]) for name, row in rows.items()
             for start in range(0, max(len(row), 1), 8)]  # fmt: skip
    words = 0.16 * max([0, *(text.count("\n") + 1 for _, row in lines for _, text in row)])
    side, tall = 0.62, 0.62 + words + 0.42
    height = tall * len(lines)
    figure = plt.figure(figsize=(WIDTH, height), layout="none")
    for number, (name, row) in enumerate(lines):
        top = height - number * tall
        figure.text(0.1 / WIDTH, (top - 0.08) / height, name, va="top", weight="bold")
        for place, (picture, caption) in enumerate(row):
            spot = (0.1 + place * 0.78) / WIDTH, (top - 0.3 - side) / height, side / WIDTH, side / height
            axes = figure.add_axes(spot, xticks=[], yticks=[])
            axes.imshow(picture, cmap="gray_r")
            axes.spines[:].set(visible=True, color=EDGE)
            axes.text(0.5, -0.08, _minus(caption), ha="center", va="top", fontsize=SMALL, transform=axes.transAxes)
    summary = "; ".join(f"{name}: {', '.join(caption for _, caption in row)}" for name, row in rows.items())
    show(figure, title, f"Pictures, {summary}.".replace("\n", " "))
