"""What schematics are drawn with: a sheet measured in inches, tables of coloured cells, arrows, boxes and chips.

The same thing has the same colour in every schematic, and its name stands at it: no legend.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from helpers.plots.page import INK, SIGNED, STYLE

MUTED, EDGE = "#5f5f5f", "#c9c9c4"
ROLES = {
    "q": "#0173b2",
    "k": "#7a4a1e",
    "v": "#8a2d8a",
    "state": INK,
    "error": "#c23b00",
    "demonstrations": "#9a6200",
    "query": "#0173b2",
    "finetuned": "#00735a",
}
TEXT, SMALL = 9.5, 8.5  # points
Number = float | int
Point = tuple[Number, Number]
CHIP = 0.24  # inches from a line of chips to the next
LETTER = 0.602 / 72  # the width of a letter of the monospaced font, in inches a point


@dataclass(frozen=True)
class Area:
    """A rectangle on the sheet, for what is to be put beside it; y grows downwards."""

    left: Number
    top: Number
    width: Number
    height: Number

    @property
    def right(self) -> Number:
        return self.left + self.width

    @property
    def bottom(self) -> Number:
        return self.top + self.height

    @property
    def x(self) -> float:
        return self.left + self.width / 2

    @property
    def y(self) -> float:
        return self.top + self.height / 2


def sheet(width: Number, height: Number) -> tuple[Figure, Axes]:
    """An empty sheet whose coordinates are inches from its upper left corner."""
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(width, height), layout="none")
        axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
    axes.set_axis_off()
    return figure, axes


def reach(*tables: np.ndarray, share: Number = 1) -> float:
    """The end of the one scale of colours that tables share: as large as this share of their numbers is at most."""
    return float(np.nanquantile(np.abs(np.concatenate([np.ravel(table) for table in tables])), share)) or 1.0


def cells(axes: Axes, table: np.ndarray, area: Area, most: Number, colour: str = INK, numbers: str = "") -> Area:
    """A table of numbers as coloured cells in a frame, white at 0; nan stays empty. Gives the area back.

    `numbers` is the format in which they stand in their cells.
    """
    rows, columns = table.shape
    fine = max(rows, columns) > 20
    across, down = np.linspace(area.left, area.right, columns + 1), np.linspace(area.top, area.bottom, rows + 1)
    look = {"cmap": SIGNED, "vmin": -most, "vmax": most, "edgecolors": "none" if fine else EDGE, "linewidth": 0.5}
    axes.pcolormesh(across, down, np.ma.masked_invalid(table), **look)
    frame(axes, area, colour)
    if numbers:
        for (i, j), number in np.ndenumerate(table):
            if not np.isnan(number):
                place = (across[j] + across[j + 1]) / 2, (down[i] + down[i + 1]) / 2
                text(
                    axes,
                    *place,
                    format(number, numbers).replace("-", "−"),
                    "white" if abs(number) > 0.7 * most else INK,
                    8,
                )
    return area


def frame(axes: Axes, area: Area, colour: str, width: Number = 1.6) -> None:
    """A frame around an area."""
    axes.add_patch(Rectangle((area.left, area.top), area.width, area.height, fill=False, ec=colour, lw=width, zorder=3))


def text(axes: Axes, x: Number, y: Number, words: str, colour: str = INK, size: Number = TEXT, **how: object) -> None:
    """Words at a place: in the middle of it unless `how` says otherwise."""
    axes.text(x, y, words, **{"color": colour, "fontsize": size, "ha": "center", "va": "center", "zorder": 4} | how)


def heading(axes: Axes, words: str, columns: int, x: Number = 0.06) -> None:
    """What a panel shows, in bold at its top, in lines of so many letters."""
    lines = textwrap.fill(words, columns)
    text(axes, x, 0.18 + 0.165 * lines.count("\n"), lines, weight="bold", ha="left", va="baseline", linespacing=1.15)


def arrow(axes: Axes, start: Point, end: Point, colour: str = MUTED, **how: object) -> None:
    """An arrow from one place to another."""
    line = {"arrowstyle": "-|>", "color": colour, "lw": 1.5, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 10}
    axes.annotate("", end, start, arrowprops=line | how, zorder=3)


def box(axes: Axes, area: Area, words: str, colour: str, fill: Number = 0.12, edge: Number = 1.4) -> Area:
    """Words in a rounded box of a colour's tint. Gives the area back."""
    tint, outline = (*mpl.colors.to_rgb(colour), fill), colour if edge else "none"
    shape = FancyBboxPatch((area.left, area.top), area.width, area.height, "round,pad=0,rounding_size=0.04")
    shape.set(facecolor=tint, edgecolor=outline, linewidth=edge)
    axes.add_patch(shape)
    text(axes, area.x, area.y, words, linespacing=1.25)
    return area


def chip_width(word: str) -> float:
    """How wide a token's chip is."""
    return len(word) * SMALL * LETTER + 0.1


def lines_of(words: Sequence[str], width: Number) -> list[list[tuple[str, float, float]]]:
    """Words in lines of at most this width, each with its left end and its own width as a chip."""
    lines, x = [[]], 0.0
    for word in words:
        wide = chip_width(word)
        if lines[-1] and x + wide > width:
            lines.append([])
            x = 0.0
        lines[-1].append((word, x, wide))
        x += wide + 0.05
    return lines


def chips(axes: Axes, words: Sequence[str], area: Area, colour: str) -> None:
    """Tokens as chips that fill the area's width, line by line."""
    for place, line in enumerate(lines_of(words, area.width)):
        for word, left, wide in line:
            chip = Area(area.left + left, area.top + CHIP * place, wide, CHIP - 0.05)
            box(axes, chip, "", colour, fill=0.16, edge=0)
            text(axes, chip.x, chip.y, word, size=SMALL, family="DejaVu Sans Mono")
