"""Figures: each draws what it is handed, in colours all can tell apart, with a text for those who can't see it."""

import base64
import html
import io
import textwrap
from pathlib import Path
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from helpers import metrics

ROUTE = {
    "00": "start here",
    "01": "linear attention",
    "02": "dual form",
    "03": "meta-gradients",
    "04": "ICL vs finetuning",
    "05": "controls",
    "06": "momentum",
}
COLOURS = dict(zip(("zero-shot", "in context", "finetuned"), sns.color_palette("colorblind")[:3], strict=True))
STYLE = {
    "figure.dpi": 110,
    "savefig.dpi": 200,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
}


def show(figure: Figure, alt: str, into: DisplayHandle | None = None) -> None:
    """Display a figure with its text alternative, in light and dark and in untrusted notebooks alike; then close it.

    `into` is a `place()`, whose picture it takes over.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, bbox_inches="tight", facecolor="white", metadata={"Software": None})
    plt.close(figure)
    picture = base64.b64encode(buffer.getvalue()).decode()
    width = round(figure.get_figwidth() * 96)
    image = (
        f'<img alt="{html.escape(alt)}" width="{width}" style="max-width: 100%" src="data:image/png;base64,{picture}">'
    )
    put = into.update if into else display
    put({"text/html": image, "image/png": picture, "text/plain": alt}, raw=True)


def place() -> DisplayHandle:
    """A place on the page for a figure that is drawn again and again."""
    return display({"text/plain": ""}, raw=True, display_id=True)


def canvas(
    width: float = 8, height: float = 3.4, rows: int = 1, columns: int = 1, **options: object
) -> tuple[Figure, np.ndarray | Axes]:
    """An empty figure in the course's style, with a grid of panels."""
    with plt.rc_context(STYLE):
        return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def route(here: str) -> None:
    """Where this notebook stands on the way through the course."""
    figure, axes = canvas(8.4, 1.1)
    for place, (number, name) in enumerate(ROUTE.items()):
        now = number == here
        axes.plot(place, 0, "o", ms=22, color="#0173b2" if now else "#d9d9d9", zorder=2)
        axes.text(place, 0, number, ha="center", va="center", color="white" if now else "black", fontsize=9, zorder=3)
        axes.text(
            place, -0.75, textwrap.fill(name, 12), ha="center", va="top", fontsize=9, weight="bold" if now else "normal"
        )
    axes.plot([0, len(ROUTE) - 1], [0, 0], color="#bdbdbd", zorder=1)
    axes.set(xlim=(-0.6, len(ROUTE) - 0.4), ylim=(-2.3, 0.7))
    axes.axis("off")
    show(figure, f"The course's route, notebooks {', '.join(ROUTE)}; this is {here}, {ROUTE[here]}.")


def answers(rows: dict[str, list[float]], steps: list[str], truths: list[str], positive: str, title: str) -> None:
    """Per sentence, how sure the model is of `positive` under each of `steps`; filled where it chooses right."""
    figure, axes = canvas(8, 0.62 * len(rows) + 1.2)
    colours = sns.color_palette("cividis", len(steps) + 1)[:-1]
    for height, (chances, truth) in enumerate(zip(rows.values(), truths, strict=True)):
        axes.plot(chances, [height] * len(chances), color="#d0d0d0", zorder=1)
        for chance, colour, marker in zip(chances, colours, "os^D", strict=False):
            right = (chance > 0.5) == (truth == positive)
            axes.scatter(
                chance,
                height,
                s=70,
                marker=marker,
                facecolor=colour if right else "white",
                edgecolor=colour,
                lw=1.8,
                zorder=2,
            )
    for step, colour, marker in zip(steps, colours, "os^D", strict=False):
        axes.scatter([], [], s=70, marker=marker, color=colour, label=step)
    axes.axvline(0.5, color="black", lw=0.8, ls=":")
    labels = [
        f"{textwrap.shorten(text, 46, placeholder=' …')}\n({truth})" for text, truth in zip(rows, truths, strict=True)
    ]
    axes.set_yticks(range(len(rows)), labels, fontsize=8.5)
    axes.set(
        xlim=(0, 1), ylim=(len(rows) - 0.5, -0.5), xlabel=f"share of “{positive}” among the two labels", title=title
    )
    axes.legend(title="demonstrations", frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    said = "; ".join(
        f"{truth}: {', '.join(f'{c:.2f}' for c in chances)}"
        for chances, truth in zip(rows.values(), truths, strict=True)
    )
    show(figure, f"{title}. Share of {positive} for {', '.join(steps)} demonstrations, a sentence each. {said}.")


def label_bias(raw: np.ndarray, calibrated: np.ndarray, gold: np.ndarray, labels: tuple[str, str], title: str) -> None:
    """For two labels: the difference of their scores on every query, before and after label bias is removed."""
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
    figure.suptitle(title, fontsize=11)
    show(figure, f"{title}. Two histograms of the score difference, raw and with label bias removed, by true label.")


Estimates = dict[str, dict[str, tuple[float, float, float]]]  # task, way: mean, low end, high end


def accuracies(raw: Estimates, calibrated: Estimates, chance: dict[str, float], title: str) -> None:
    """Accuracy of each way on each task with its 95 % interval: raw above, label bias removed below."""
    figure, panels = canvas(8, 5, rows=2, sharex=True)
    for axes, table, name in zip(panels, (raw, calibrated), ("raw", "label bias removed"), strict=True):
        for group, (task, ways) in enumerate(table.items()):
            for place, (way, (mean, low, high)) in enumerate(ways.items()):
                ends = [[mean - low], [high - mean]]
                axes.errorbar(group + (place - 1) * 0.22, mean, ends, fmt="os^"[place], color=COLOURS[way], capsize=3)
            if task in chance:
                axes.plot([group - 0.4, group + 0.4], [chance[task]] * 2, color="black", lw=0.9, ls=":")
        axes.set(ylim=(-0.03, 1.03), ylabel=f"accuracy, {name}")
        axes.grid(axis="y", color="#e5e5e5")
        axes.set_axisbelow(True)
    for (way, colour), marker in zip(COLOURS.items(), "os^", strict=True):
        panels[0].plot([], [], marker, color=colour, label=way)
    panels[0].plot([], [], color="black", lw=0.9, ls=":", label="guessing")
    panels[0].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    panels[1].set_xticks(range(len(raw)), [name.replace("-", "-\n") for name in raw])
    figure.suptitle(title, fontsize=11)
    said = "; ".join(
        f"{task}: {', '.join(f'{way} {found[0]:.2f}' for way, found in w.items())}" for task, w in raw.items()
    )
    show(figure, f"{title}. Raw accuracy, {said}. Below, the same with label bias removed.")


def losses(curves: dict[str, tuple[list[int], np.ndarray]], level: np.ndarray, title: str) -> None:
    """Loss against passes over the demonstrations [draws, passes], with the in-context level [draws] as a line."""
    figure, axes = canvas(8, 4)
    for place, (name, (epochs, values)) in enumerate(curves.items()):  # colour: which weights; dashes: which optimiser
        colour = ("#029e73", "#7a3e9d")[place // 2 % 2]
        axes.plot(epochs, values.mean(0), marker="os^D"[place % 4], ls=("--", "-")[place % 2], color=colour, label=name)
        axes.fill_between(epochs, values.min(0), values.max(0), color=colour, alpha=0.15, lw=0)
    axes.axhline(level.mean(), color=COLOURS["in context"], lw=2, label="one prompt, no training")
    axes.axhspan(level.min(), level.max(), color=COLOURS["in context"], alpha=0.2, lw=0)
    axes.set_xscale("symlog", base=2, linthresh=1)
    steps = sorted({epoch for epochs, _ in curves.values() for epoch in epochs})
    axes.set_xticks(steps, steps)
    axes.set(
        xlabel="passes over the demonstrations (one step each)",
        ylabel="loss: −log p of the answer (nats a token)",
        title=title,
        ylim=(0, None),
    )
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    said = "; ".join(f"{name}: {', '.join(f'{v:.1f}' for v in values.mean(0))}" for name, (_, values) in curves.items())
    show(figure, f"{title}. In context {level.mean():.1f}. After {', '.join(map(str, steps))} passes, {said}.")


def recovered(zero_shot: np.ndarray, finetuned: np.ndarray, in_context: np.ndarray, title: str) -> None:
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
    axes.set(xlabel="queries, sorted (blue: right; framed: what finetuning fixed)", title=title)
    axes.spines[:].set_visible(False)
    hits = rows[2, fixed].sum()
    show(figure, f"{title}. Finetuning fixed {len(fixed)} of {rows.shape[1]} queries, the prompt {hits} of those.")


def updates(icl: np.ndarray, ft: np.ndarray, title: str) -> None:
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
    axes.set(
        xlim=(min(0, ends[1, 0]) - 0.25 * reach, 1.45 * reach), ylim=(-0.18 * reach, max(ends[1, 1], 0.3 * reach) * 1.2)
    )
    axes.set(aspect="equal", title=f"{title} (cosine {cosine:.2f})", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    show(figure, f"{title}: two arrows, {lengths[0]:.2f} and {lengths[1]:.2f} long, cosine {cosine:.2f}.")


def maps(rows: dict[str, np.ndarray], tokens: list[str], title: str) -> None:
    """Attention to the same tokens under several readings [tokens], each row on its own scale from low to high."""
    figure, axes = canvas(max(5, 0.28 * len(tokens) + 1.6), 0.42 * len(rows) + 1.9)
    grid = np.array([(row - row.min()) / (np.ptp(row) or 1) for row in rows.values()])
    image = axes.imshow(grid, cmap="cividis", aspect="auto", vmin=0, vmax=1)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(tokens)), tokens, rotation=90, fontsize=8)
    axes.hlines(np.arange(1, len(rows)) - 0.5, -0.5, len(tokens) - 0.5, color="white", lw=2)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 1], pad=0.02)
    bar.ax.set_yticklabels(["least", "most"])
    axes.set_title(title)
    axes.spines[:].set_visible(False)
    strongest = "; ".join(f"{name}: {tokens[int(row.argmax())].strip()}" for name, row in rows.items())
    show(figure, f"{title}. Attention to {len(tokens)} tokens in {len(rows)} rows; strongest: {strongest}.")


Band = tuple[np.ndarray, np.ndarray, np.ndarray]  # mean, low and high end [layers]


def by_layer(panels: dict[str, dict[str, Band]], ylabel: str, title: str) -> None:
    """A panel a task, layers to the right; lines whose name starts with "null" are dashed and grey."""
    figure, axes = canvas(9, 3.3, columns=len(panels), sharey=True, squeeze=False)
    colours, marks = sns.color_palette("colorblind"), "os^D"
    for panel, (task, lines) in zip(axes[0], panels.items(), strict=True):
        for place, (name, (mean, low, high)) in enumerate(lines.items()):
            null = name.startswith("null")
            colour = ("#555555", "#999999")[place % 2] if null else colours[(0, 4, 2)[place % 3]]
            layers = np.arange(len(mean))
            panel.plot(
                layers,
                mean,
                "--" if null else "-",
                marker=None if null else marks[place],
                ms=3.5,
                color=colour,
                label=name,
            )
            panel.fill_between(layers, low, high, color=colour, alpha=0.15, lw=0)
        panel.axhline(0, color="black", lw=0.8)
        panel.set(title=task, xlabel="layer")
    axes[0, 0].set_ylabel(ylabel)
    axes[0, -1].legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    figure.suptitle(title, fontsize=11)
    said = "; ".join(
        f"{task}, {name}: {np.nanmean(band[0]):.2f}" for task, lines in panels.items() for name, band in lines.items()
    )
    show(figure, f"{title}. {ylabel} by layer; means over the layers: {said}.")


def points(
    groups: dict[str, tuple[np.ndarray, np.ndarray]], xlabel: str, ylabel: str, title: str, diagonal: bool = False
) -> None:
    """Points in groups, each with a mark and colour of its own; `diagonal`: log axes, and where both are equal."""
    figure, axes = canvas(8, 3.6)
    for (name, (x, y)), colour, mark in zip(
        groups.items(), sns.color_palette("colorblind", len(groups)), "osD^vPX*", strict=False
    ):
        axes.scatter(x, y, s=48, color=colour, marker=mark, label=name, edgecolor="black", lw=0.5)
    if diagonal:
        axes.set(xscale="log", yscale="log")
        axes.axline((1, 1), (2, 2), color="black", lw=1, ls="--", label="equal", zorder=0)
    else:
        axes.axhline(0, color="black", lw=0.8)
        axes.axvline(0, color="black", lw=0.8, ls=":")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    said = "; ".join(
        f"{name}: " + ", ".join(f"({a:.1f}, {b:.2f})" for a, b in zip(x, y, strict=True))
        for name, (x, y) in groups.items()
    )
    show(figure, f"{title}. {ylabel} against {xlabel}: {said}.")


def matrices(panels: dict[str, np.ndarray], xlabel: str, ylabel: str, title: str, numbers: bool = False) -> None:
    """Matrices side by side: on one scale of colours, or each on its own and with its numbers; nan stays white."""
    wide = sum(max(1.6, 0.4 * panel.shape[1]) for panel in panels.values())
    tall = max(panel.shape[0] for panel in panels.values())
    figure, row = canvas(min(11, wide + 2.2), 0.4 * tall + 1.8, columns=len(panels), squeeze=False)
    low, high = (f([f(panel) for panel in panels.values()]) for f in (np.nanmin, np.nanmax))
    for axes, (name, panel) in zip(row[0], panels.items(), strict=True):
        low, high = (np.nanmin(panel), np.nanmax(panel)) if numbers else (low, high)
        image = axes.imshow(panel, cmap="cividis", vmin=low, vmax=high)
        for (i, j), number in np.ndenumerate(panel) if numbers else ():
            bright = np.isnan(number) or number > (low + high) / 2
            text = "" if np.isnan(number) else f"{number:.1f}"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, color="black" if bright else "white")
        axes.set(title=name, xlabel=xlabel)
        axes.set_xticks(range(panel.shape[1]) if panel.shape[1] < 12 else range(0, panel.shape[1], 5))
        axes.set_yticks(range(panel.shape[0]) if panel.shape[0] < 12 else range(0, panel.shape[0], 5))
    row[0][0].set_ylabel(ylabel)
    if not numbers:
        figure.colorbar(image, ax=row[0], pad=0.02, shrink=0.9)
    figure.suptitle(title, fontsize=11)
    said = "; ".join(f"{name} from {np.nanmin(panel):.1f} to {np.nanmax(panel):.1f}" for name, panel in panels.items())
    show(figure, f"{title}. {ylabel} against {xlabel}: {said}.")


def lines(
    groups: dict[str, tuple[np.ndarray, ...]],
    xlabel: str,
    ylabel: str,
    title: str,
    log: Literal["", "x", "y", "xy"] = "",
    save: Path | None = None,
    into: DisplayHandle | None = None,
) -> None:
    """Lines (x, y) with marks, or (x, y, low, high) with a band; where both axes are logarithmic each is named with the
    slope of its upper half. `save` also writes a PNG there; `into` a `place()` draws anew what is there.
    """
    figure, axes = canvas(8, 3.6)
    said = []
    for (name, (x, y, *band)), colour, mark in zip(
        groups.items(), sns.color_palette("colorblind"), "osD^vPX*", strict=False
    ):
        label = f"{name}: n^{metrics.exponent(x, y):.1f}" if log == "xy" and len(x) > 3 else name
        axes.plot(x, y, "-", marker=mark, ms=4.5, color=colour, label=label)
        if band:
            axes.fill_between(x, *band, color=colour, alpha=0.15, lw=0)
        said.append(f"{label} from {y[0]:.3g} to {y[-1]:.3g}")
    if "x" in log:
        axes.set_xscale("log", base=2)
    if "y" in log:
        axes.set_yscale("log")
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
    if save:
        figure.savefig(save, dpi=110, facecolor="white", metadata={"Software": None})
    show(figure, f"{title}. {ylabel} against {xlabel}: {'; '.join(said)}.", into)


def differences(groups: dict[str, tuple[np.ndarray, tuple[float, float, float]]], xlabel: str, title: str) -> None:
    """A row a group: a dot for every seed's difference, and its mean with the ends of an interval."""
    figure, axes = canvas(8, 0.45 * len(groups) + 1.2)
    for height, (values, (mean, low, high)) in enumerate(groups.values()):
        axes.scatter(values, [height] * len(values), s=22, color="#999999", zorder=2)
        axes.errorbar(mean, height, xerr=[[mean - low], [high - mean]], fmt="D", color="#0173b2", capsize=4, zorder=3)
    axes.axvline(0, color="black", lw=0.8)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set(xlabel=xlabel, title=title, ylim=(len(groups) - 0.5, -0.5))
    said = "; ".join(
        f"{name} {mean:+.3f} ({low:+.3f} to {high:+.3f})" for name, (_, (mean, low, high)) in groups.items()
    )
    show(figure, f"{title}. {xlabel}, mean and interval: {said}.")


def pictures(rows: dict[str, list[tuple[np.ndarray, str]]], title: str) -> None:
    """Rows of small grey pictures, each with a line of text under it; the name of a row stands at its left."""
    columns = max(map(len, rows.values()))
    figure, grid = canvas(1.15 * columns + 1, 1.5 * len(rows) + 0.5, len(rows), columns, squeeze=False)
    for (name, row), line in zip(rows.items(), grid, strict=True):
        for axes in line:
            axes.set_axis_off()
        for axes, (picture, caption) in zip(line, row, strict=False):
            axes.imshow(picture, cmap="gray_r")
            axes.text(0.5, -0.08, caption, ha="center", va="top", fontsize=8.5, transform=axes.transAxes)
        line[0].text(-0.25, 0.5, name, ha="right", va="center", fontsize=9.5, transform=line[0].transAxes)
    figure.suptitle(title, fontsize=11)
    said = "; ".join(f"{name}: {', '.join(caption for _, caption in row)}" for name, row in rows.items())
    show(figure, f"{title}. Pictures, {said}.".replace("\n", " "))
