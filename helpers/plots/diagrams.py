"""Drawings: the course's route, two updates as arrows."""

import textwrap

import numpy as np

from helpers.plots.page import COLOURS, canvas, show
from helpers.support.findings import Finding

ROUTE = {
    "00": "start here",
    "01": "linear attention",
    "02": "dual form",
    "03": "meta-gradients",
    "04": "ICL vs finetuning",
    "05": "controls",
    "06": "momentum",
}


def route(here: str) -> None:
    """Where this notebook stands on the way through the course."""
    figure, axes = canvas(8.4, 1.1)
    for place, (number, name) in enumerate(ROUTE.items()):
        now = number == here
        axes.plot(place, 0, "o", ms=22, color="#0173b2" if now else "#d9d9d9", zorder=2)
        axes.text(place, 0, number, ha="center", va="center", color="white" if now else "black", fontsize=9, zorder=3)
        weight = "bold" if now else "normal"
        axes.text(place, -0.75, textwrap.fill(name, 12), ha="center", va="top", fontsize=9, weight=weight)
    axes.plot([0, len(ROUTE) - 1], [0, 0], color="#bdbdbd", zorder=1)
    axes.set(xlim=(-0.6, len(ROUTE) - 0.4), ylim=(-2.3, 0.7))
    axes.axis("off")
    show(figure, "", f"The course's route, notebooks {', '.join(ROUTE)}; this is {here}, {ROUTE[here]}.")


def updates(icl: np.ndarray, ft: np.ndarray, title: str | Finding) -> None:
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
