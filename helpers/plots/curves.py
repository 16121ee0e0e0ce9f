"""Series over an axis: lines, points, loss curves, values by layer."""

import textwrap
from pathlib import Path
from typing import Literal

import numpy as np
from IPython.display import DisplayHandle
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from helpers.plots import labels
from helpers.plots.page import (
    COLOURS,
    PALETTE,
    PLAIN_MARKERS,
    SHARP,
    WIDTH,
    Title,
    canvas,
    check_any,
    in_style,
    looks,
    png,
    show,
)
from helpers.support import cache
from helpers.support.formats import exponent

PAIRED = [c for c in ("#029e73", "#7a3e9d", *(PALETTE[i] for i in (0, 3, 4, 5, 7, 9))) for _ in range(2)]
BY_LAYER = [PALETTE[i] for i in (0, 1, 2, 4, 3, 5, 6, 8, 9)]
NULLS = [{"marker": mark, "color": grey} for mark in "_x+123" for grey in ("#6b6b6b", "#a6a6a6")]
Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, low and high end [layers]


@in_style
def lines(
    groups: dict[str, tuple[np.ndarray, ...]],
    xlabel: str,
    ylabel: str,
    title: Title,
    log: Literal["", "x", "y", "xy"] = "",
    save: Path | None = None,
    into: DisplayHandle | None = None,
) -> None:
    """Lines (x, y) with marks, or (x, y, low, high) with a band; where both axes are logarithmic each is named with the
    slope of its upper half. `save` also writes a PNG there; `into` a `place()` draws anew what is there.
    """
    styles, drawn, summary = looks(groups), {}, []
    figure, axes = canvas(WIDTH, labels.room(list(groups), 3.4))
    for name, (x, y, *band) in groups.items():
        slope = f": $n^{{{exponent(x, y):.1f}}}$" if log == "xy" and len(x) > 3 else ""
        sparse = max(1, len(x) // 16)
        drawn[name + slope] = axes.plot(x, y, "-", markevery=sparse, label=name + slope, **styles[name])[0]
        if band:
            axes.fill_between(x, *band, color=styles[name]["color"], alpha=0.15, lw=0)
        summary.append(f"{name}{slope.replace('$', '')} from {y[0]:.3g} to {y[-1]:.3g}")
    if "x" in log:
        axes.set_xscale("log", base=2)
    if "y" in log:
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    labels.at_ends(axes, drawn)
    if save:
        with cache.whole(save) as scratch:
            scratch.write_bytes(png(figure, **SHARP))
    show(figure, title, f"{ylabel} against {xlabel}: {'; '.join(summary)}.", into)


@in_style
def points(
    groups: dict[str, tuple[np.ndarray, np.ndarray]], xlabel: str, ylabel: str, title: Title, diagonal: bool = False
) -> None:
    """Points in groups, each with a mark and colour of its own; `diagonal`: log axes, and where both are equal."""
    styles = looks(groups)
    figure, axes = canvas(WIDTH, 3.6 + 0.06 * len(groups))
    drawn = {
        name: axes.scatter(x, y, s=44, label=name, edgecolor="#1c1c1c", lw=0.5, zorder=2, **styles[name])
        for name, (x, y) in groups.items()
    }
    if diagonal:
        axes.set(xscale="log", yscale="log")
        drawn["equal"] = axes.axline((1, 1), (2, 2), color="#1c1c1c", lw=1, ls="--", zorder=1)
    else:
        axes.axhline(0, color="#1c1c1c", lw=0.8, zorder=1)
        axes.axvline(0, color="#1c1c1c", lw=0.8, ls=":", zorder=1)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    labels.above(figure, drawn)
    summary = "; ".join(f"{name}: {_listed(x, y)}" for name, (x, y) in groups.items())
    show(figure, title, f"{ylabel} against {xlabel}: {summary}.")


def _listed(x: np.ndarray, y: np.ndarray) -> str:
    """A few points one by one, of many where they lie: a list of sixty says nothing to those who hear it."""
    if len(x) <= 12:
        return ", ".join(f"({a:.1f}, {b:.2f})" for a, b in zip(x, y, strict=True))
    spans = " against ".join(f"{values.min():.2g} to {values.max():.2g}" for values in (y, x))
    return f"{len(x)} points, {spans}"


@in_style
def losses(curves: dict[str, tuple[list[int], np.ndarray]], level: np.ndarray, title: Title) -> None:
    """Loss against passes over the demonstrations [draws, passes], with the in-context level [draws] as a line."""
    styles, drawn = looks(curves, PAIRED, PLAIN_MARKERS), {}  # pairs share a colour: which weights; dashes: optimiser
    figure, axes = canvas(WIDTH, labels.room([*curves, "one prompt, no training"], 3.8))
    for place, (name, (epochs, values)) in enumerate(curves.items()):
        drawn[name] = axes.plot(epochs, values.mean(0), ls=("--", "-")[place % 2], label=name, **styles[name])[0]
        axes.fill_between(epochs, values.min(0), values.max(0), color=styles[name]["color"], alpha=0.15, lw=0)
    steps = sorted({epoch for epochs, _ in curves.values() for epoch in epochs})
    prompt = {"color": COLOURS["in context"], "lw": 2.4}
    drawn["one prompt, no training"] = axes.plot([steps[0], steps[-1]], [level.mean()] * 2, **prompt)[0]
    axes.axhspan(level.min(), level.max(), color=prompt["color"], alpha=0.2, lw=0)
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks(steps, steps)
    axes.set(xlabel="passes over the demonstrations (one step each)", ylim=(0, None))
    axes.set_ylabel("loss: −log p of the answer (nats a token)")
    axes.grid(axis="y")
    labels.at_ends(axes, drawn)
    summary = "; ".join(f"{name}: {', '.join(f'{v:.1f}' for v in rows.mean(0))}" for name, (_, rows) in curves.items())
    show(figure, title, f"In context {level.mean():.1f}. After {', '.join(map(str, steps))} passes, {summary}.")


@in_style
def by_layer(panels: dict[str, dict[str, Band]], ylabel: str, title: Title) -> None:
    """A strip a task, layers to the right: dots with intervals, before the grey of what is named "null: …"."""
    names = dict.fromkeys(name for bands in panels.values() for name in bands)
    check_any(names)
    styles, drawn = _layer_looks(list(names)), {}
    figure, strips = canvas(WIDTH, 1.6 * len(panels) + 0.9, len(panels), sharex=True, sharey=True, squeeze=False)
    measured = [name for name in names if not name.startswith("null")]
    for axes in strips.flat:
        axes.use_sticky_edges = False  # room above the highest
    for axes, (task, bands) in zip(strips[:, 0], panels.items(), strict=True):
        for name, band in bands.items():
            if name in measured:
                aside = 0.5 * (measured.index(name) - (len(measured) - 1) / 2) / len(measured)
                drawn[name] = _dots(axes, band, aside, styles[name])
            else:
                drawn[name] = _null(axes, band, styles[name])
        axes.axhline(0, color="#1c1c1c", lw=0.8, zorder=0.6)
        axes.set_title(task, weight="bold")
        axes.set_ylabel(textwrap.fill(ylabel, 14))
        axes.grid(axis="y")
    last = max(len(band[0]) for bands in panels.values() for band in bands.values()) - 1
    axes.set(xlabel="layer", xlim=(-0.8, last + 0.8), xticks=range(0, last + 1, 5 if last > 12 else 1))
    labels.above(figure, {name: drawn[name] for name in names})
    summary = "; ".join(
        f"{task}, {name}: {np.nanmean(band[0]):.2f}" for task, bands in panels.items() for name, band in bands.items()
    )
    show(figure, title, f"{ylabel} by layer; means over the layers: {summary}.")


def _layer_looks(names: list[str]) -> dict[str, dict]:
    """Colours and filled marks for what was measured, greys and thin marks for nulls."""
    nulls = [name for name in names if name.startswith("null")]
    if len(nulls) > len(NULLS):
        raise ValueError(f"{len(nulls)} nulls are more than can be told apart.\nDraw at most {len(NULLS)} at a time.")
    thin = dict(zip(nulls, NULLS, strict=False))
    measured = [name for name in names if name not in thin]
    marked = looks(measured, BY_LAYER, PLAIN_MARKERS) if measured else {}
    return {name: (thin | marked)[name] for name in names}


def _dots(axes: Axes, band: Band, aside: float, style: dict) -> Line2D:
    """A dot a layer, with its interval."""
    mean, low, high = band
    ends = np.maximum([mean - low, high - mean], 0)
    spots = np.arange(len(mean)) + aside
    return axes.errorbar(spots, mean, ends, ls="", ms=4.2, elinewidth=1.4, zorder=3, **style).lines[0]


def _null(axes: Axes, band: Band, style: dict) -> Line2D:
    """A thin mark a layer, before a grey field as high as its interval."""
    mean, low, high = band
    layers = np.arange(len(mean))
    axes.bar(layers, high - low, 1, low, color=style["color"], alpha=0.3, lw=0, zorder=1)
    size = {"_": 10}.get(style["marker"], 5)
    return axes.plot(layers, mean, ls="", ms=size, mew=1.5, zorder=2, **style)[0]
