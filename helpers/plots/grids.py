"""What is a table of numbers or of pictures: matrices, attention to tokens, right and wrong answers, small images."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.image import AxesImage

from helpers.plots.page import Title, canvas, check_any, show


def matrices(panels: dict[str, np.ndarray], xlabel: str, ylabel: str, title: Title, numbers: bool = False) -> None:
    """Matrices side by side: on one scale of colours, or each on its own and with its numbers; nan stays white."""
    check_any(panels)
    count, wide = len(panels), sum(max(1.6, 0.4 * panel.shape[1]) for panel in panels.values())
    tall = max(panel.shape[0] for panel in panels.values())
    figure, row = canvas(min(max(11, 1.3 * count), wide + 2.2), 0.4 * tall + 1.8, columns=count, squeeze=False)
    shared = _range(*panels.values())
    for axes, (name, panel) in zip(row[0], panels.items(), strict=True):
        image = _matrix(axes, panel, _range(panel) if numbers else shared)
        axes.set(title=name, xlabel=xlabel)
        if numbers:
            _numbers(axes, panel)
    row[0][0].set_ylabel(ylabel)
    if not numbers:
        figure.colorbar(image, ax=row[0], pad=0.02, shrink=0.9)
    summary = "; ".join("{} from {:.1f} to {:.1f}".format(name, *_range(panel)) for name, panel in panels.items())
    show(figure, title, f"{ylabel} against {xlabel}: {summary}.")


def _range(*panels: np.ndarray) -> tuple[float, float]:
    """The lowest and highest number of all."""
    return min(np.nanmin(panel) for panel in panels), max(np.nanmax(panel) for panel in panels)


def _matrix(axes: Axes, panel: np.ndarray, limits: tuple[float, float]) -> AxesImage:
    image = axes.imshow(panel, cmap="cividis", vmin=limits[0], vmax=limits[1])
    for axis, size in ((axes.yaxis, panel.shape[0]), (axes.xaxis, panel.shape[1])):
        axis.set_ticks(range(size) if size < 12 else range(0, size, 5))
    return image


def _numbers(axes: Axes, panel: np.ndarray) -> None:
    """Every entry in its cell, dark on bright and bright on dark."""
    middle = sum(_range(panel)) / 2
    for (i, j), number in np.ndenumerate(panel):
        if not np.isnan(number):
            colour = "black" if number > middle else "white"
            axes.text(j, i, f"{number:.1f}", ha="center", va="center", fontsize=8, color=colour)


def maps(rows: dict[str, np.ndarray], tokens: list[str], title: Title) -> None:
    """Attention to the same tokens under several readings [tokens], each row on its own scale from low to high."""
    check_any(rows)
    figure, axes = canvas(max(5, 0.28 * len(tokens) + 1.6), 0.42 * len(rows) + 1.9)
    grid = np.array([(row - row.min()) / (np.ptp(row) or 1) for row in rows.values()])
    image = axes.imshow(grid, cmap="cividis", aspect="auto", vmin=0, vmax=1)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=8)
    axes.hlines(np.arange(1, len(rows)) - 0.5, -0.5, len(tokens) - 0.5, color="white", lw=2)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 1], pad=0.02)
    bar.ax.set_yticklabels(["least", "most"])
    axes.spines[:].set_visible(False)
    strongest = "; ".join(f"{name}: {tokens[int(row.argmax())].strip()}" for name, row in rows.items())
    show(figure, title, f"Attention to {len(tokens)} tokens in {len(rows)} rows; strongest: {strongest}.")


def recovered(zero_shot: np.ndarray, finetuned: np.ndarray, in_context: np.ndarray, title: Title) -> None:
    """Rec2FTP in one picture: a column a query, dark where right [n]; framed: what finetuning fixed."""
    rows = np.array([zero_shot, finetuned, in_context], dtype=int)
    rows = rows[:, np.lexsort((rows[2], rows[1], -rows[0]))[::-1]]
    fixed = np.flatnonzero((rows[0] == 0) & (rows[1] == 1))
    figure, axes = canvas(8, 1.7)
    axes.imshow(rows, cmap=ListedColormap(["#e3e3e3", "#0173b2"]), aspect="auto", vmin=0, vmax=1)
    axes.set_yticks(range(3), ["zero-shot", "finetuned", "in context"])
    axes.hlines([0.5, 1.5], -0.5, rows.shape[1] - 0.5, color="white", lw=3)
    if len(fixed):
        frame = plt.Rectangle((fixed[0] - 0.5, -0.45), len(fixed), 2.9, fill=False, ec="#d55e00", lw=2.5, clip_on=False)
        axes.add_patch(frame)
    axes.set(xlabel="queries, sorted (blue: right; framed: what finetuning fixed)")
    axes.spines[:].set_visible(False)
    hits = rows[2, fixed].sum()
    show(figure, title, f"Finetuning fixed {len(fixed)} of {rows.shape[1]} queries, the prompt {hits} of those.")


def pictures(rows: dict[str, list[tuple[np.ndarray, str]]], title: Title) -> None:
    """Rows of small grey pictures, each with a line of text under it; the name of a row stands at its left."""
    check_any(rows)
    columns = max(1, *map(len, rows.values()))
    figure, grid = canvas(1.15 * columns + 1, 1.5 * len(rows) + 0.5, len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for (name, row), line in zip(rows.items(), grid, strict=True):
        for axes, (picture, caption) in zip(line, row, strict=False):  # a row may be shorter than the longest
            axes.imshow(picture, cmap="gray_r")
            axes.text(0.5, -0.08, caption, ha="center", va="top", fontsize=8.5, transform=axes.transAxes)
        line[0].text(-0.25, 0.5, name, ha="right", va="center", fontsize=9.5, transform=line[0].transAxes)
    summary = "; ".join(f"{name}: {', '.join(caption for _, caption in row)}" for name, row in rows.items())
    show(figure, title, f"Pictures, {summary}.".replace("\n", " "))
