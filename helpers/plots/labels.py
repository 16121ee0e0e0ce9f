"""The names of series, where a reader looks for them: at the ends of lines, or in a row above the panel."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from scipy.optimize import isotonic_regression

LINE = 13.8  # points from one line of small text to the next
LETTER, KEY = 5.4, 32.0  # points that a letter of a name takes, and the mark before it with the room after it


def wrapped(names: list[str], letters: int = 19) -> list[str]:
    """Names in lines short enough to stand at the right of a panel."""
    return [textwrap.fill(name.replace("eq. ", "eq.\N{NO-BREAK SPACE}"), letters) for name in names]


def room(names: list[str], least: float) -> float:
    """The height in inches of a panel with these names at its right."""
    return max(least, (LINE * sum(name.count("\n") + 1 for name in wrapped(names)) + 50) / 72)


def at_ends(axes: Axes, lines: dict[str, Line2D]) -> None:
    """Every line's name at its right end; where two would touch they move apart, and thin lines lead to them."""
    axes.figure.draw_without_rendering()  # only now are scales and sizes known
    names, height = wrapped(list(lines)), axes.get_window_extent().height * 72 / axes.figure.dpi
    ends = np.array([_end(axes, line) for line in lines.values()])
    sizes = [LINE * (name.count("\n") + 1) for name in names]
    heights = spread(ends[:, 1] * height, sizes, height) / height
    for name, line, end, at in zip(names, lines.values(), ends, heights, strict=True):
        label = Legend(axes, [line], [name], loc="center left", bbox_to_anchor=(1.0, at), borderaxespad=0.9)
        axes.add_artist(label).set_clip_on(False)  # else the layout leaves no room for it
        if end[0] < 0.97 or abs(end[1] - at) * height > 3:
            arrow = {"arrowstyle": "-", "color": line.get_color(), "alpha": 0.6, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
            spot = {"xycoords": "axes fraction", "textcoords": "axes fraction", "annotation_clip": False}
            axes.annotate("", end, (1.025, at), arrowprops=arrow, **spot)


def _end(axes: Axes, line: Line2D) -> np.ndarray:
    """Where a line's last number lies, in fractions of the panel."""
    points = np.asarray(line.get_xydata(), dtype=float)
    last = points[np.isfinite(points).all(1)][-1]
    return np.clip(axes.transAxes.inverted().transform(axes.transData.transform(last)), 0, 1)


def spread(heights: np.ndarray, sizes: Sequence[float], most: float) -> np.ndarray:
    """Heights nearest to those wished at which labels of these sizes do not touch, between 0 and `most` if they fit."""
    order, sizes = np.argsort(heights, kind="stable"), np.asarray(sizes, dtype=float)
    tall = sizes[order]
    apart = np.concatenate([[0.0], np.cumsum((tall[1:] + tall[:-1]) / 2)])
    placed = np.empty(len(heights))
    free = max(most - apart[-1] - (tall[0] + tall[-1]) / 2, 0)
    placed[order] = np.clip(isotonic_regression(heights[order] - apart).x, tall[0] / 2, tall[0] / 2 + free) + apart
    return placed


def above(figure: Figure, handles: dict[str, Artist], title: str | None = None) -> None:
    """The names in as many columns as fit, above what they name."""
    free = figure.get_figwidth() * 72
    fit = [count for count in range(2, len(handles) + 1) if _width(list(handles), count) < free]
    options = {"title": title, "alignment": "left", "columnspacing": 1.2, "handletextpad": 0.5, "borderpad": 0.1}
    figure.legend(handles.values(), handles, loc="outside upper left", ncols=max([1, *fit]), **options)


def _width(names: list[str], columns: int) -> float:
    """The points that names in so many columns take, filled from top to bottom."""
    return sum(max(map(len, column)) * LETTER + KEY for column in np.array_split(names, columns))
