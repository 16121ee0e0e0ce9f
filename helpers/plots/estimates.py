"""Answers, accuracies and differences, each with what is uncertain about it."""

import textwrap
from collections.abc import Iterable

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from helpers.plots.page import COLOURS, PLAIN_MARKERS, Title, canvas, check_any, legend_at_right, looks, show

Estimates = dict[str, dict[str, tuple[float, float, float]]]  # task, way: mean, low end, high end


def answers(rows: dict[str, list[float]], steps: list[str], truths: list[str], positive: str, title: Title) -> None:
    """Per sentence, how sure the model is of `positive` under each of `steps`; filled where it chooses right."""
    check_any(rows)
    if not all(len(chances) == len(steps) for chances in rows.values()):
        raise ValueError(
            f"answers: a row has another number of shares than there are steps, {len(steps)}.\n"
            "Give every sentence one share a step."
        )
    styles = looks(steps, sns.color_palette("cividis", len(steps) + 1)[:-1], PLAIN_MARKERS)
    figure, axes = canvas(8, max(0.62 * len(rows) + 1.2, 0.3 * len(steps) + 0.5))
    for height, (chances, truth) in enumerate(zip(rows.values(), truths, strict=True)):
        axes.plot(chances, [height] * len(chances), color="#d0d0d0", zorder=1)
        for chance, style in zip(chances, styles.values(), strict=True):
            colour, right = style["color"], (chance > 0.5) == (truth == positive)
            look = {"marker": style["marker"], "facecolor": colour if right else "white", "edgecolor": colour}
            axes.scatter(chance, height, s=70, lw=1.8, zorder=2, **look)
    for step, style in styles.items():
        axes.scatter([], [], s=70, label=step, **style)
    axes.axvline(0.5, color="black", lw=0.8, ls=":")
    texts = (textwrap.shorten(text, 46, placeholder=" …") for text in rows)
    labels = [f"{text}\n({truth})" for text, truth in zip(texts, truths, strict=True)]
    axes.set_yticks(range(len(rows)), labels, fontsize=8.5)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xlabel(f"share of “{positive}” among the two labels")
    legend_at_right(axes, title="demonstrations")
    summary = "; ".join(
        f"{truth}: {', '.join(f'{chance:.2f}' for chance in chances)}"
        for chances, truth in zip(rows.values(), truths, strict=True)
    )
    show(figure, title, f"Share of {positive} for {', '.join(steps)} demonstrations, a sentence each. {summary}.")


def label_bias(
    raw: np.ndarray, calibrated: np.ndarray, gold: np.ndarray, labels: tuple[str, ...], title: Title
) -> None:
    """For two labels: the difference of their scores on every query, before and after label bias is removed."""
    if not len(labels) == raw.shape[1] == calibrated.shape[1] == 2:
        raise ValueError(
            f"This figure shows the difference of two labels' scores, and there are {max(len(labels), raw.shape[1])}.\n"
            "Choose two labels, and their columns of the scores."
        )
    figure, panels = canvas(8, 2.9, columns=2, sharey=True)
    for axes, scores, name in zip(panels, (raw, calibrated), ("raw", "label bias removed"), strict=True):
        difference = scores[:, 1] - scores[:, 0]
        bins = np.linspace(-np.abs(raw).max() / 3, np.abs(raw).max() / 3, 31)
        right = ((difference > 0) == (gold == 1)).mean()
        for place, (label, colour) in enumerate(zip(labels, ("#de8f05", "#0173b2"), strict=True)):
            axes.hist(difference[gold == place], bins, color=colour, alpha=0.65, label=f"truly {label}")
        axes.axvline(0, color="black", lw=1)
        axes.set(title=f"{name}: {right:.2f} right", xlabel=f"score of “{labels[1]}” − “{labels[0]}” (nats)")
    panels[0].set_ylabel("queries")
    panels[1].legend(frameon=False)
    show(figure, title, "Two histograms of the score difference, raw and with label bias removed, by true label.")


def accuracies(raw: Estimates, calibrated: Estimates, chance: dict[str, float], title: Title) -> None:
    """Accuracy of each way on each task with its 95 % interval: raw above, label bias removed below."""
    styles = _way_looks(way for table in (raw, calibrated) for ways in table.values() for way in ways)
    check_any(styles)
    figure, panels = canvas(8, 5, rows=2, sharex=True)
    for axes, table, name in zip(panels, (raw, calibrated), ("raw", "label bias removed"), strict=True):
        for group, (task, ways) in enumerate(table.items()):
            _intervals(axes, group, ways, styles)
            if task in chance:
                axes.plot([group - 0.4, group + 0.4], [chance[task]] * 2, color="black", lw=0.9, ls=":")
        axes.set(ylim=(-0.03, 1.03), ylabel=f"accuracy, {name}")
        axes.grid(axis="y", color="#e5e5e5")
        axes.set_axisbelow(True)
    for way, style in styles.items():
        panels[0].plot([], [], ls="", label=way, **style)
    panels[0].plot([], [], color="black", lw=0.9, ls=":", label="guessing")
    legend_at_right(panels[0])
    panels[1].set_xticks(range(len(raw)), [name.replace("-", "-\n") for name in raw])
    summary = "; ".join(
        f"{task}: {', '.join(f'{way} {estimate[0]:.2f}' for way, estimate in ways.items())}"
        for task, ways in raw.items()
    )
    show(figure, title, f"Raw accuracy, {summary}. Below, the same with label bias removed.")


def _way_looks(ways: Iterable[str]) -> dict[str, dict]:
    """The course's three ways look the same in every figure; others follow."""
    present = list(dict.fromkeys(ways))
    styles = looks([*COLOURS, *(way for way in present if way not in COLOURS)], markers=PLAIN_MARKERS)
    return {way: style for way, style in styles.items() if way in present}


def _intervals(axes: Axes, group: int, ways: dict[str, tuple[float, float, float]], styles: dict[str, dict]) -> None:
    """One task's estimates side by side around the middle of its place."""
    apart = min(0.22, 0.7 / len(styles))
    for place, (way, style) in enumerate(styles.items()):
        if way in ways:
            mean, low, high = ways[way]
            middle = group + (place - (len(styles) - 1) / 2) * apart
            axes.errorbar(middle, mean, [[mean - low], [high - mean]], ls="", capsize=3, **style)


def differences(groups: dict[str, tuple[np.ndarray, tuple[float, float, float]]], xlabel: str, title: Title) -> None:
    """A row a group: a dot for every seed's difference, and its mean with the ends of an interval."""
    check_any(groups)
    figure, axes = canvas(8, 0.45 * len(groups) + 1.2)
    for height, (values, (mean, low, high)) in enumerate(groups.values()):
        axes.scatter(values, [height] * len(values), s=22, color="#999999", zorder=2)
        axes.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="D", color="#0173b2", capsize=4, zorder=3)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set(xlabel=xlabel, ylim=(len(groups) - 0.5, -0.5))
    summary = "; ".join(
        f"{name} {mean:+.3f} ({low:+.3f} to {high:+.3f})" for name, (_, (mean, low, high)) in groups.items()
    )
    show(figure, title, f"{xlabel}, mean and interval: {summary}.")
