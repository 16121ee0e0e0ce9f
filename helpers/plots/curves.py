"""Series over an axis: lines, points, loss curves, values by layer."""

from pathlib import Path
from typing import Literal

import numpy as np
from IPython.display import DisplayHandle
from matplotlib.axes import Axes

from helpers.plots.page import (
    COLOURS,
    FRAME,
    PALETTE,
    PLAIN_MARKERS,
    Title,
    canvas,
    check_any,
    legend_at_right,
    looks,
    png,
    show,
)
from helpers.support import cache
from helpers.support.formats import exponent

PAIRED = [c for c in ("#029e73", "#7a3e9d", *(PALETTE[i] for i in (0, 3, 4, 5, 7, 9))) for _ in range(2)]
BY_LAYER = [PALETTE[i] for i in (0, 4, 2, 1, 3, 5, 6, 8, 9)]
DASHES = ("--", ":", "-.", (0, (8, 4)), (0, (1, 4)), (0, (5, 2, 1, 2, 1, 2)))
NULLS = [{"ls": dash, "color": grey} for dash in DASHES for grey in ("#555555", "#999999")]
Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, low and high end [layers]


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
    styles = looks(groups)
    figure, axes = canvas(8, max(3.6, 0.22 * len(groups)))
    summary = []
    for name, (x, y, *band) in groups.items():
        label = f"{name}: n^{exponent(x, y):.1f}" if log == "xy" and len(x) > 3 else name
        axes.plot(x, y, "-", ms=4.5, label=label, **styles[name])
        if band:
            axes.fill_between(x, *band, color=styles[name]["color"], alpha=0.15, lw=0)
        summary.append(f"{label} from {y[0]:.3g} to {y[-1]:.3g}")
    if "x" in log:
        axes.set_xscale("log", base=2)
    if "y" in log:
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    legend_at_right(axes, fontsize=9)
    if save:
        with cache.whole(save) as scratch:
            scratch.write_bytes(png(figure, **FRAME))
    show(figure, title, f"{ylabel} against {xlabel}: {'; '.join(summary)}.", into)


def points(
    groups: dict[str, tuple[np.ndarray, np.ndarray]],
    xlabel: str,
    ylabel: str,
    title: Title,
    diagonal: bool = False,
) -> None:
    """Points in groups, each with a mark and colour of its own; `diagonal`: log axes, and where both are equal."""
    styles = looks(groups)
    figure, axes = canvas(8, max(3.6, 0.22 * len(groups)))
    for name, (x, y) in groups.items():
        axes.scatter(x, y, s=48, label=name, edgecolor="black", lw=0.5, **styles[name])
    if diagonal:
        axes.set(xscale="log", yscale="log")
        axes.axline((1, 1), (2, 2), color="black", lw=1, ls="--", label="equal", zorder=0)
    else:
        axes.axhline(0, color="black", lw=0.8)
        axes.axvline(0, color="black", lw=0.8, ls=":")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    legend_at_right(axes, fontsize=9)
    summary = "; ".join(
        f"{name}: " + ", ".join(f"({a:.1f}, {b:.2f})" for a, b in zip(x, y, strict=True))
        for name, (x, y) in groups.items()
    )
    show(figure, title, f"{ylabel} against {xlabel}: {summary}.")


def losses(curves: dict[str, tuple[list[int], np.ndarray]], level: np.ndarray, title: Title) -> None:
    """Loss against passes over the demonstrations [draws, passes], with the in-context level [draws] as a line."""
    styles = looks(curves, PAIRED, PLAIN_MARKERS)  # pairs share a colour: which weights; dashes: which optimiser
    figure, axes = canvas(8, 4)
    for place, (name, (epochs, values)) in enumerate(curves.items()):
        axes.plot(epochs, values.mean(0), ls=("--", "-")[place % 2], label=name, **styles[name])
        axes.fill_between(epochs, values.min(0), values.max(0), color=styles[name]["color"], alpha=0.15, lw=0)
    axes.axhline(level.mean(), color=COLOURS["in context"], lw=2, label="one prompt, no training")
    axes.axhspan(level.min(), level.max(), color=COLOURS["in context"], alpha=0.2, lw=0)
    axes.set_xscale("symlog", base=2, linthresh=1)
    steps = sorted({epoch for epochs, _ in curves.values() for epoch in epochs})
    axes.set_xticks(steps, steps)
    axes.set_xlabel("passes over the demonstrations (one step each)")
    axes.set(ylabel="loss: −log p of the answer (nats a token)", ylim=(0, None))
    legend_at_right(axes)
    summary = "; ".join(f"{name}: {', '.join(f'{v:.1f}' for v in rows.mean(0))}" for name, (_, rows) in curves.items())
    show(figure, title, f"In context {level.mean():.1f}. After {', '.join(map(str, steps))} passes, {summary}.")


def by_layer(panels: dict[str, dict[str, Band]], ylabel: str, title: Title) -> None:
    """A panel a task, layers to the right; lines whose name starts with "null" are broken and grey."""
    names = dict.fromkeys(name for bands in panels.values() for name in bands)
    check_any(names)
    styles = _layer_looks(list(names))
    figure, axes = canvas(max(9, 2.6 * len(panels)), 3.3, columns=len(panels), sharey=True, squeeze=False)
    for panel, (task, bands) in zip(axes[0], panels.items(), strict=True):
        for name, band in bands.items():
            _band(panel, name, band, styles[name])
        panel.axhline(0, color="black", lw=0.8)
        panel.set(title=task, xlabel="layer")
    axes[0, 0].set_ylabel(ylabel)
    for name, style in styles.items():  # a task may lack a line that another has
        axes[0, -1].plot([], [], ms=3.5, label=name, **style)
    legend_at_right(axes[0, -1], fontsize=9)
    summary = "; ".join(
        f"{task}, {name}: {np.nanmean(band[0]):.2f}" for task, bands in panels.items() for name, band in bands.items()
    )
    show(figure, title, f"{ylabel} by layer; means over the layers: {summary}.")


def _layer_looks(names: list[str]) -> dict[str, dict]:
    """Colours and marks for what was measured, greys and dashes for nulls, the last of them the darkest."""
    nulls = [name for name in reversed(names) if name.startswith("null")]
    if len(nulls) > len(NULLS):
        raise ValueError(f"{len(nulls)} nulls are more than can be told apart.\nDraw at most {len(NULLS)} at a time.")
    dashed = dict(zip(nulls, NULLS, strict=False))
    measured = [name for name in names if name not in dashed]
    marked = looks(measured, BY_LAYER, PLAIN_MARKERS) if measured else {}
    return {name: (dashed | marked)[name] for name in names}


def _band(panel: Axes, name: str, band: Band, style: dict) -> None:
    mean, low, high = band
    panel.plot(np.arange(len(mean)), mean, ms=3.5, **style)
    panel.fill_between(np.arange(len(mean)), low, high, color=style["color"], alpha=0.15, lw=0)
