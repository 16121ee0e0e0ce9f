"""Answers, accuracies and differences, each with what is uncertain about it."""

import textwrap
from collections.abc import Iterable

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from helpers.plots import labels
from helpers.plots.page import (
    BLUE,
    COLOURS,
    HALF,
    INK,
    ORANGE,
    PLAIN_MARKERS,
    WIDTH,
    Title,
    canvas,
    check_any,
    in_style,
    looks,
    show,
)

Estimate = tuple[float, float, float]  # mean, low end, high end
Estimates = dict[str, dict[str, Estimate]]  # by task and way
LINE = 0.25  # inches of a row


@in_style
def answers(rows: dict[str, list[float]], steps: list[str], truths: list[str], positive: str, title: Title) -> None:
    """Per sentence, how sure the model is of `positive` under each of `steps`; filled where it chooses right."""
    check_any(rows)
    if not all(len(chances) == len(steps) for chances in rows.values()):
        raise ValueError(
            f"answers: a row has another number of shares than there are steps, {len(steps)}.\n"
            "Give every sentence one share a step."
        )
    styles = looks(steps, sns.color_palette("viridis", len(steps) + 1)[:-1], PLAIN_MARKERS)
    figure, axes = canvas(WIDTH, 0.55 * len(rows) + 1.4)
    for height, (text, chances, truth) in enumerate(zip(rows, rows.values(), truths, strict=True)):
        said = f"{textwrap.shorten(text, 70, placeholder=' …')}  ({truth})"
        axes.text(0, height - 0.24, said, va="bottom", bbox={"fc": axes.get_facecolor(), "lw": 0, "pad": 1})
        axes.plot([min(chances), max(chances)], [height] * 2, color="#c9c9c4", lw=3, zorder=1)
        for chance, style in zip(chances, styles.values(), strict=True):
            right = (chance > 0.5) == (truth == positive)
            look = {"marker": style["marker"], "edgecolor": style["color"], "facecolor": style["color"]}
            axes.scatter(chance, height, s=64, lw=1.8, zorder=2, **(look if right else look | {"facecolor": "white"}))
    drawn = {step: axes.scatter([], [], s=64, label=step, **style) for step, style in styles.items()}
    drawn["not filled: wrong"] = axes.scatter([], [], s=64, lw=1.8, facecolor="white", edgecolor=INK)
    axes.axvline(0.5, color=INK, lw=0.8, ls=":", zorder=0.6)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.6, -0.75), yticks=[])
    axes.set_xlabel(f"share of “{positive}” among the two labels")
    axes.spines["left"].set_visible(False)
    labels.above(figure, drawn, "demonstrations")
    summary = "; ".join(
        f"{truth}: {', '.join(f'{chance:.2f}' for chance in chances)}"
        for chances, truth in zip(rows.values(), truths, strict=True)
    )
    show(figure, title, f"Share of {positive} for {', '.join(steps)} demonstrations, a sentence each. {summary}.")


@in_style
def label_bias(
    raw: np.ndarray, calibrated: np.ndarray, gold: np.ndarray, labels: tuple[str, ...], title: Title
) -> None:
    """For two labels: the difference of their scores on every query, before and after label bias is removed."""
    if not len(labels) == raw.shape[1] == calibrated.shape[1] == 2:
        raise ValueError(
            f"This figure shows the difference of two labels' scores, and there are {max(len(labels), raw.shape[1])}.\n"
            "Choose two labels, and their columns of the scores."
        )
    far = np.abs(raw).max() / 3
    panels = {"raw": raw, "label bias removed": calibrated}
    figures = [_differences(scores, gold, labels, far, name) for name, scores in panels.items()]
    most = max(figure.axes[0].get_ylim()[1] for figure in figures)
    for figure in figures:
        figure.axes[0].set_ylim(0, most)
    words = "Two histograms of the score difference, raw and with label bias removed, by true label."
    show(figures, title, words)


def _differences(scores: np.ndarray, gold: np.ndarray, names: tuple[str, ...], far: float, name: str) -> Figure:
    """Second label's score minus the first's, a histogram for each true label."""
    figure, axes = canvas(HALF, 2.7)
    difference, drawn = scores[:, 1] - scores[:, 0], {}
    for place, (label, colour) in enumerate(zip(names, (ORANGE, BLUE), strict=True)):
        look = {"histtype": "stepfilled", "lw": 1.6, "ls": ("--", "-")[place], "ec": colour, "fc": (colour, 0.4)}
        drawn[f"truly {label}"] = axes.hist(difference[gold == place], np.linspace(-far, far, 25), **look)[2][0]
    axes.axvline(0, color=INK, lw=1)
    axes.locator_params(axis="y", integer=True)
    axes.set_title(f"{name}: {((difference > 0) == (gold == 1)).mean():.2f} right", weight="bold")
    axes.set(xlabel=f"score “{names[1]}” − “{names[0]}” (nats)", ylabel="queries")
    labels.above(figure, drawn)
    return figure


@in_style
def accuracies(raw: Estimates, calibrated: Estimates, chance: dict[str, float], title: Title) -> None:
    """Accuracy of each way on each task with its 95 % interval: raw, and with label bias removed."""
    styles = _way_looks(way for table in (raw, calibrated) for ways in table.values() for way in ways)
    check_any(styles)
    panels = {"raw": raw, "label bias removed": calibrated}
    figures = [_by_task(table, chance, styles, name) for name, table in panels.items()]
    show(figures, title, f"Raw accuracy, {_listed(raw)}. Beside it, the same with label bias removed.")


def _way_looks(ways: Iterable[str]) -> dict[str, dict]:
    """The course's three ways look the same in every figure; others follow."""
    present = list(dict.fromkeys(ways))
    styles = looks([*COLOURS, *(way for way in present if way not in COLOURS)], markers=PLAIN_MARKERS)
    return {way: style for way, style in styles.items() if way in present}


@in_style
def shares(panels: dict[str, Estimates], xlabel: str, title: Title) -> None:
    """A panel a table, side by side: a row each, in it a share with its interval for every way, one below the other."""
    ways = [way for table in panels.values() for row in table.values() for way in row]
    check_any(ways)
    styles = looks(list(dict.fromkeys(ways)), markers=PLAIN_MARKERS)
    wrapped = {name: {textwrap.fill(row, 17): found for row, found in table.items()} for name, table in panels.items()}
    figures = [_by_task(table, {}, styles, name, xlabel) for name, table in wrapped.items()]
    summary = ". ".join(f"{name}: {_listed(table)}" for name, table in panels.items())
    show(figures, title, f"{xlabel}, mean and interval. {summary}.")


def _listed(table: Estimates) -> str:
    """Every share of a table, in words."""
    return "; ".join(
        f"{row}: {', '.join(f'{way} {mean:.2f}' for way, (mean, *_) in found.items())}" for row, found in table.items()
    )


def _by_task(
    table: Estimates, chance: dict[str, float], styles: dict[str, dict], name: str, xlabel: str = "accuracy"
) -> Figure:
    """Tasks from top to bottom, in each its ways one below the other; dotted: guessing."""
    figure, axes = canvas(HALF, (0.14 * len(styles) + 0.22) * len(table) + 1.3 + 0.09 * len(styles))
    drawn = {way: _intervals(axes, place, way, table, styles) for place, way in enumerate(styles)}
    for row, task in enumerate(table):
        if task in chance:
            drawn["guessing"] = axes.plot([chance[task]] * 2, [row - 0.45, row + 0.45], color=INK, lw=1.2, ls=":")[0]
    axes.set_yticks(range(len(table)), [task.replace("-", "-\n") for task in table])
    axes.set(xlim=(-0.02, 1.02), ylim=(len(table) - 0.5, -0.5), xlabel=xlabel)
    axes.set_title(name, weight="bold")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    labels.above(figure, drawn)
    return figure


def _intervals(axes: Axes, place: int, way: str, table: Estimates, styles: dict[str, dict]) -> Line2D:
    """One way's estimates, each at its place in the row of its task."""
    aside = 0.72 * ((place + 0.5) / len(styles) - 0.5)
    there = {row: ways[way] for row, ways in enumerate(table.values()) if way in ways}
    mean, low, high = np.array(list(there.values())).reshape(-1, 3).T
    heights = [row + aside for row in there]
    ends = [mean - low, high - mean]
    return axes.errorbar(mean, heights, xerr=ends, ls="", ms=5, elinewidth=1.6, **styles[way]).lines[0]


@in_style
def differences(groups: dict[str, tuple[np.ndarray, Estimate]], xlabel: str, title: Title) -> None:
    """A row a group: a dot for every seed's difference, and its mean with the ends of an interval."""
    check_any(groups)
    figure, axes = canvas(WIDTH, 0.4 * len(groups) + 0.8)
    for height, (values, (mean, low, high)) in enumerate(groups.values()):
        axes.scatter(values, [height - 0.2] * len(values), s=20, color="#8a8a8a", alpha=0.7, lw=0, zorder=2)
        axes.errorbar(mean, height + 0.1, xerr=[[mean - low], [high - mean]], fmt="D", color=BLUE, elinewidth=2.2)
    axes.axvline(0, color=INK, lw=0.8, zorder=0.6)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=xlabel, ylim=(len(groups) - 0.5, -0.5))
    axes.grid(axis="x")
    summary = "; ".join(
        f"{name} {mean:+.3f} ({low:+.3f} to {high:+.3f})" for name, (_, (mean, low, high)) in groups.items()
    )
    show(figure, title, f"{xlabel}, mean and interval: {summary}.")


@in_style
def forest(groups: dict[str, dict[str, Estimate]], xlabel: str, title: Title, zero: float = 0.0) -> None:
    """A row an estimate, in groups: its mean, its interval and both as numbers; the line is where there is nothing."""
    check_any(groups)
    names = [(group, name) for group, rows in groups.items() for name in ("", *rows)]
    figure, axes = canvas(WIDTH, LINE * len(names) + 0.8)
    for height, (group, name) in enumerate(names):
        if name:
            mean, low, high = groups[group][name]
            colour = INK if low <= zero <= high else BLUE
            axes.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="s", color=colour, ms=5.5, elinewidth=2)
            said = f"{mean:+.3f}  ({low:+.3f} to {high:+.3f})".replace("-", "−")
            axes.annotate(said, (1, height), (8, 0), ("axes fraction", "data"), "offset points", va="center", size=9)
    axes.axvline(zero, color=INK, lw=0.8, zorder=0.6)
    axes.set_yticks(range(len(names)), [name or group for group, name in names])
    for label, (_, name) in zip(axes.get_yticklabels(), names, strict=True):
        label.set_weight("normal" if name else "bold")
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=xlabel, ylim=(len(names) - 0.5, -0.5))
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    summary = "; ".join(
        f"{group}: "
        + ", ".join(f"{name} {mean:+.3f} ({low:+.3f} to {high:+.3f})" for name, (mean, low, high) in rows.items())
        for group, rows in groups.items()
    )
    show(figure, title, f"{xlabel}, mean and interval. {summary}.")
