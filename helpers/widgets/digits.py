"""Training digits to take away: each one's share of a prediction, against what is lost when the layer is retrained.

A share (eq. 2.5) says how this training made up the answer; only retraining says what the answer depends on.
"""

import base64
import io
import math
from collections.abc import Collection
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from PIL import Image
from torch import Tensor

from helpers import dual
from helpers.plots.page import PALETTE, frame, in_style
from helpers.support import CourseError
from helpers.widgets import controls
from helpers.widgets.live import still_or_live

STEPS = (1, 3, 10, 50)
SIDE = 40  # pixels of a digit
HEADING = "The 8 training digits that push most for {}, and their shares"
TICKS = f"""
.course-digit {{ width: {SIDE + 26}px; height: auto }}
.course-digit .widget-label-basic {{ display: block; width: 100%; height: auto; cursor: pointer; text-align: center }}
.course-digit .widget-label-basic > span {{ display: block; overflow: visible; padding-top: {SIDE + 2}px;
  background: var(--picture) no-repeat center top / {SIDE}px }}
.course-digit:has(input:not(:checked)) .widget-label-basic > span {{ text-decoration: line-through;
  background: linear-gradient(#ffffffc0, #ffffffc0) no-repeat center top / {SIDE}px {SIDE}px,
    var(--picture) no-repeat center top / {SIDE}px }}
.course-unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }}
"""
MOST = 8  # digits shown for either answer
HINT = "Ticks can be set while a kernel runs: run this cell. Without ticks, give the call without={}, steps=1"
GREY = "#8a8a86"
Scores = Float[Tensor, " classes"]


class Case:
    """One prediction that is wrong, the layer that made it, and the layer that others would have made."""

    def __init__(
        self,
        images: Float[Tensor, "n height width"],
        inputs: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        start: Float[Tensor, "classes d"],
        x: Float[Tensor, " d"],
        wrong: int,
        right: int,
        lr: float,
    ) -> None:
        if wrong == right:
            raise CourseError(
                f"Both answers are {wrong}: a lead needs two.\nGive a test digit that the layer gets wrong."
            )
        self.images, self.inputs, self.labels = images, inputs, labels
        self.start, self.x, self.wrong, self.right, self.lr = start, x, wrong, right, lr
        self.targets = torch.eye(len(start), dtype=inputs.dtype)[labels]
        self.shares, self.lost_alone = cache(self._shares), cache(self._lost_alone)  # by steps
        self.scores = cache(self._scores)  # by steps and by what is left out
        ranked = self.shares(STEPS[-1]).argsort(descending=True).tolist()
        self.sides = {wrong: ranked[:MOST], right: ranked[::-1][:MOST]}  # the strongest for either answer

    @property
    def shown(self) -> list[int]:
        """All training digits that one can take away."""
        return [place for side in self.sides.values() for place in side]

    def lead(self, scores: Scores) -> float:
        """By how much the wrong answer is ahead of the right one."""
        return (scores[self.wrong] - scores[self.right]).item()

    def _shares(self, steps: int) -> Float[Tensor, " n"]:
        """(eq. 2.5) Every training digit's share of the lead."""
        errors, _ = dual.trained(self.start, self.inputs, self.targets, self.lr, steps)
        shares = dual.contributions(errors, self.inputs, self.x)
        return shares[:, self.wrong] - shares[:, self.right]

    def _scores(self, steps: int, without: tuple[int, ...] = ()) -> Scores:
        """What a layer says that was trained without these.

        A step sees the inputs only in sums, so as many rows as dimensions, with the same sums, train the same layer.
        """
        kept = torch.ones(len(self.inputs), dtype=torch.bool)
        kept[list(without)] = False
        turned, few = torch.linalg.qr(self.inputs[kept])
        return dual.trained(self.start, few, turned.T @ self.targets[kept], self.lr, steps)[1] @ self.x

    def _lost_alone(self, steps: int) -> Float[Tensor, " shown"]:
        """What the lead loses without each of those shown, one at a time."""
        all_there = self.lead(self.scores(steps))
        alone = [all_there - self.lead(self.scores(steps, (place,))) for place in self.shown]
        return torch.tensor(alone, dtype=self.inputs.dtype)

    def name(self, place: int, steps: int) -> str:
        """A training digit in words."""
        label = int(self.labels[place])
        return f"training digit {place}, a{'n' * (label == 8)} {label}, share {_signed(self.shares(steps)[place])}"

    def listed(self, steps: int) -> str:
        """All that one can take away, in words."""
        names = {digit: "; ".join(self.name(place, steps) for place in side) for digit, side in self.sides.items()}
        return "\n".join(f"Most for {digit}: {side}." for digit, side in names.items())


class Result:
    """What taking these away does, after this many steps."""

    def __init__(self, case: Case, without: Collection[int], steps: int) -> None:
        self.case, self.without, self.steps = case, sorted(without), steps
        self.before, self.after = case.scores(steps), case.scores(steps, tuple(self.without))
        self.share = case.shares(steps)[self.without].sum().item()
        self.lost = case.lead(self.before) - case.lead(self.after)

    def title(self) -> str:
        """The finding in short."""
        many = f"{len(self.without)} training digit{'s' * (len(self.without) != 1)}"
        return (
            f"{_steps(self.steps)}, {many} taken away: shares {_signed(self.share)}, really lost {_signed(self.lost)}"
        )

    def sentence(self) -> str:
        """All in words."""
        case, answer = self.case, self.after.argmax().item()
        leads = " to ".join(_signed(case.lead(scores)) for scores in (self.before, self.after))
        part = f", {self.lost / self.share:.0%} of their shares".replace("%", " %") if abs(self.share) > 1e-9 else ""
        moves = f"the lead of {case.wrong} over {case.right} goes from {leads}"
        return f"{self.title()}{part}. Retrained without them, {moves}; the layer says {answer}"


def _signed(number: float | Tensor) -> str:
    return f"{float(number):+.3f}".replace("-", "−")


def _steps(steps: int) -> str:
    return f"{steps} step{'s' * (steps > 1)}"


class Picture:
    """Share against loss for each digit alone and for all that are taken away; scores with and without them.

    Artists made once and moved by `draw`; margins are fixed, since finding a layout takes as long as drawing it.
    """

    @in_style
    def __init__(self, case: Case) -> None:
        self.case = case
        margins = (2.6, 0.3, 0.94), (1.7, 0.4, 0.91), (2.1, 0.2, 0.97)  # width, left and right end of the axes
        self.figures = [Figure((width, 2.9), layout="none") for width, _, _ in margins]
        self.axes = [
            figure.add_axes((left, 0.17, right - left, 0.74))
            for figure, (_, left, right) in zip(self.figures, margins, strict=True)
        ]
        alone, together, classes = self.axes
        self.points, self.rings = self._set_up_alone(alone)
        self.bars, self.heights = self._set_up_together(together)
        self.before, self.after = self._set_up_classes(classes)

    def _set_up_alone(self, axes: Axes) -> tuple[list[Line2D], Line2D]:
        """A point a digit, taken away alone; a ring where it is among those taken away."""
        axes.axline((0, 0), slope=1, color=GREY, lw=1)
        axes.axhline(0, color=GREY, lw=0.6)
        axes.text(0.04, 0.94, "line: lost = share", transform=axes.transAxes, fontsize=8)
        points = [
            axes.plot([], [], mark, color=colour, ms=5, label=f"most for {digit}")[0]
            for digit, colour, mark in zip(self.case.sides, (PALETTE[0], PALETTE[3]), "os", strict=True)
        ]
        axes.legend(loc="lower right", fontsize=8, handletextpad=0, borderpad=0, borderaxespad=0.4)
        axes.set(xlabel="share of the lead", ylabel="lost without it alone")
        return points, axes.plot([], [], "o", mfc="none", mec="black", mew=0.8, ms=9)[0]

    @staticmethod
    def _set_up_together(axes: Axes) -> tuple[BarContainer, list[Text]]:
        """Two bars: what the shares of all that are taken away say, and what is lost."""
        bars = axes.bar(["shares", "lost"], [0, 0], color=[GREY, PALETTE[2]], width=0.7)
        axes.axhline(0, color="black", lw=0.8)
        axes.set(ylabel="taken away together")
        return bars, [axes.text(place, 0, "", ha="center", fontsize=8) for place in range(2)]

    def _set_up_classes(self, axes: Axes) -> tuple[Line2D, Line2D]:
        """A row a class: its score with all training digits, and without those."""
        rows = range(len(self.case.start))
        axes.axvline(0, color=GREY, lw=0.6)
        axes.set(xlabel="score", ylabel="class", yticks=rows, ylim=(len(rows) - 0.5, -0.5))
        before = axes.plot([], [], "o", color=GREY, ms=6, label="with all")[0]
        after = axes.plot([], [], "o", mfc="none", mec=PALETTE[2], mew=1.5, ms=9, label="without")[0]
        axes.legend(loc="lower left", bbox_to_anchor=(-0.15, 1), ncols=2, fontsize=8, handletextpad=0, borderpad=0)
        return before, after

    def draw(self, result: Result) -> None:
        """Move everything to what this result says."""
        alone, together, classes = self.axes
        shares, lost = self.case.shares(result.steps)[self.case.shown], self.case.lost_alone(result.steps)
        for points, side in zip(self.points, (slice(MOST), slice(MOST, None)), strict=True):
            points.set_data(shares[side].numpy(), lost[side].numpy())
        gone = [place in result.without for place in self.case.shown]
        self.rings.set_data(shares[gone].numpy(), lost[gone].numpy())
        most = 1.15 * shares.abs().max().item()
        alone.set(xlim=(-most, most), ylim=(-most, most), **_ticks(most))
        self._move_bars(together, result, 1.3 * max(shares.clamp(min=0).sum(), -shares.clamp(max=0).sum()).item())
        rows, scores = np.arange(len(result.before)), torch.cat([result.before, result.after])
        self.before.set_data(result.before.numpy(), rows)
        self.after.set_data(result.after.numpy(), rows)
        most = 1.15 * scores.abs().max().item()
        classes.set(xlim=(-most, most), xticks=_ticks(most)["xticks"])

    def _move_bars(self, axes: Axes, result: Result, most: float) -> None:
        axes.set(ylim=(-most, most), yticks=_ticks(most)["yticks"])
        for bar, text, height in zip(self.bars, self.heights, (result.share, result.lost), strict=True):
            bar.set_height(height)
            text.set(y=height + 0.03 * most * (1 if height >= 0 else -1), text=_signed(height))
            text.set_verticalalignment("bottom" if height >= 0 else "top")


def _ticks(most: float) -> dict[str, list[float]]:
    """Three places on an axis from −most to most: 0, and the roundest number on either side."""
    unit = 10.0 ** math.floor(math.log10(most))
    round_one = next(factor * unit for factor in (5, 2, 1) if factor * unit <= most)
    return {axis: [-round_one, 0.0, round_one] for axis in ("xticks", "yticks")}


def drawn(case: Case, place: int, ink: float = 1.0) -> str:
    """A training digit, dark on light, or paler with less ink, as the address of a picture."""
    image = case.images[place]
    grey = (255 * (1 - ink * image / image.max())).byte().numpy()
    file = io.BytesIO()
    Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def rows(case: Case, without: Collection[int], steps: int) -> str:
    """All digits shown, each with its share; pale and behind an empty box where it is taken away."""
    page = ""
    for digit, side in case.sides.items():
        page += f"<div>{HEADING.format(digit)}:</div>"
        for place in side:
            name, share = case.name(place, steps).rsplit(" ", 1)
            box, ink = ("☐", 0.25) if place in without else ("☑", 1.0)
            style = f"width: {SIDE}px; vertical-align: middle"
            picture = f'<img alt="{name}" style="{style}" src="{drawn(case, place, ink)}">'
            page += f'<span style="display: inline-block; padding: 2px 10px 2px 0">{box} {picture} {share}</span>'
    return page


class Ticks:
    """A tick for every digit shown, how long to train, and the picture that follows them."""

    def __init__(self, picture: Picture, without: Collection[int], steps: int) -> None:
        import ipywidgets  # a page without it still shows the picture

        self.picture, self.case = picture, picture.case
        self.ticks = {place: _tick(place, place not in without) for place in self.case.shown}
        self.steps = controls.choice("steps of training", STEPS, steps)
        self.back = ipywidgets.Button(description="put all back", layout={"width": "auto", "align_self": "flex-start"})
        self.words, self.image = controls.words(), ipywidgets.HTML()
        self.rows = ipywidgets.HTML(layout={"display": "none"})  # for the still, in the place of the ticks
        lines = [ipywidgets.HTML(_looks(self.case))]
        for digit, side in self.case.sides.items():
            lines.append(ipywidgets.HTML(f"<div>{HEADING.format(digit)}; untick one to take it away:</div>"))
            lines.append(ipywidgets.HBox([self.ticks[place] for place in side], layout={"flex_flow": "row wrap"}))
        self.box = ipywidgets.VBox([*lines, self.back, self.steps, self.rows, self.image, self.words])
        self._waiting = False
        self.back.on_click(lambda _: self.put_back())
        for control in (*self.ticks.values(), self.steps):
            control.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def put_back(self) -> None:
        """All ticks at once, and one redraw."""
        self._waiting = True
        for tick in self.ticks.values():
            tick.value = True
        self._waiting = False
        self.redraw()

    def redraw(self) -> None:
        """The digits, the picture and the words of what is chosen now."""
        if self._waiting:
            return
        steps, gone = self.steps.value, [place for place, tick in self.ticks.items() if not tick.value]
        for place, tick in self.ticks.items():
            name, share = self.case.name(place, steps).rsplit(" ", 1)
            tick.description = f'<span class="course-unseen">{name} </span>{share}'
        result = Result(self.case, gone, steps)
        self.picture.draw(result)
        self.rows.value = rows(self.case, gone, steps)
        self.image.value = frame(self.picture.figures, result.title(), result.sentence())
        self.words.value = controls.said(result.sentence())


def _tick(place: int, kept: bool) -> "ipywidgets.Checkbox":  # noqa: F821
    """A tick whose label is a picture: the whole of it can be clicked."""
    import ipywidgets

    tick = ipywidgets.Checkbox(kept, indent=False, description_allow_html=True)
    return tick.add_class("course-digit").add_class(f"course-digit-{place}")


def _looks(case: Case) -> str:
    """The pictures of the ticks: a page's own html may not carry pictures in a label, its style may."""
    pictures = (f".course-digit-{place} {{ --picture: url({drawn(case, place)}) }}" for place in case.shown)
    return f"<style>{TICKS}{''.join(pictures)}</style>"


def leave_out(
    images: Float[Tensor, "n height width"],
    inputs: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    start: Float[Tensor, "classes d"],
    x: Float[Tensor, " d"],
    wrong: int,
    right: int,
    lr: float,
    without: Collection[int] | None = None,
    steps: int = STEPS[-1],
) -> None:
    """Training digits to take away: shares of the lead of `wrong` over `right` for `x`, and what retraining loses.

    `without`: places of training digits that are away at first, the strongest for `wrong` if not given. Raises
    ValueError for a digit that is not shown, or steps that are none of the choices.
    """
    case = Case(images, inputs, labels, start, x, wrong, right, lr)
    without = case.sides[wrong] if without is None else without
    if steps not in STEPS:
        raise ValueError(f"steps={steps!r} is no choice here.\nIt is one of {', '.join(map(str, STEPS))}.")
    if not set(without) <= set(case.shown):
        raise ValueError(f"without={without!r}: not all of them are shown.\nThose shown are {case.shown}.")
    picture, result = Picture(case), Result(case, without, steps)
    picture.draw(result)
    card = frame(picture.figures, result.title(), result.sentence())
    words = f"{case.listed(steps)}\n{result.sentence()}."
    still = f"{rows(case, without, steps)}{card}{controls.said(result.sentence())}"
    hint = HINT.format([side[0] for side in case.sides.values()])
    still_or_live(still, words, hint, lambda: Ticks(picture, without, steps).box)
