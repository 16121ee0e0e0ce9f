"""Drawings: two updates as arrows, numbers as bars."""

import numpy as np

from helpers.plots.page import BLUE, COLOURS, INK, ORANGE, WIDTH, Title, canvas, check_any, in_style, show


def updates(icl: np.ndarray, ft: np.ndarray, title: Title) -> None:
    """Two updates [d] of one attention output, drawn in the plane they span: true lengths, true angle."""
    lengths = np.linalg.norm(icl), np.linalg.norm(ft)
    cosine = icl @ ft / (lengths[0] * lengths[1])
    ends = np.array([[lengths[0], 0], [lengths[1] * cosine, lengths[1] * np.sqrt(1 - cosine**2)]])
    figure, axes = canvas(5.4, 2.8)
    for (x, y), way, name in zip(ends, ("in context", "finetuned"), ("the prompt's", "finetuning's"), strict=True):
        axes.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": COLOURS[way], "lw": 2.5})
        axes.annotate(f"{name} update", (x, y), (4, 6), textcoords="offset points", color=COLOURS[way], fontsize=9)
    axes.plot(0, 0, "o", color="black", ms=5)
    axes.annotate("zero-shot", (0, 0), (-4, -14), textcoords="offset points", ha="right", fontsize=9)
    reach = np.abs(ends).max() * 1.15
    axes.set_xlim(min(0, ends[1, 0]) - 0.25 * reach, 1.45 * reach)
    axes.set_ylim(-0.18 * reach, max(ends[1, 1], 0.3 * reach) * 1.2)
    axes.set(aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    show(
        figure,
        f"{title} (cosine {cosine:.2f})",
        f"Two arrows, {lengths[0]:.2f} and {lengths[1]:.2f} long, cosine {cosine:.2f}.",
    )


@in_style
def bars(groups: dict[str, tuple[float, ...]], xlabel: str, title: Title) -> None:
    """A row a group: its numbers as bars from 0, negative ones to the left, each with its number at its end."""
    check_any(groups)
    figure, axes = canvas(WIDTH, 0.27 * len(groups) + 0.8)
    for height, numbers in enumerate(groups.values()):
        for number in numbers:
            colour, aside, side = (BLUE, 4, "left") if number >= 0 else (ORANGE, -4, "right")
            axes.barh(height, number, 0.7, color=colour)
            axes.annotate(_said(number), (number, height), (aside, 0), textcoords="offset points", ha=side, va="center")
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=xlabel, ylim=(len(groups) - 0.5, -0.5))
    axes.margins(x=0.14)  # room for the numbers
    axes.spines["left"].set_visible(False)
    rows = "; ".join(f"{name}: {' and '.join(map(_said, numbers))}" for name, numbers in groups.items())
    show(figure, title, f"Bars, {xlabel}. {rows}.")


def _said(number: float) -> str:
    return f"{number:.2f}".replace("-", "−")
