"""A ball in a valley: rate and momentum are dragged, and the way down, its loss and the map of all choices follow.

After Goh, "Why Momentum Really Works" (Distill, 2017). The film of the descent stays: a play button for the steps.
"""

import matplotlib as mpl
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from helpers.plots.page import PALETTE, frame, in_style
from helpers.widgets import controls
from helpers.widgets.live import still_or_live

CURVATURES, START = torch.tensor([[1.0, 20.0], [-9.0, 2.2]], dtype=torch.float64)  # the loss is ½ Σ λ w²
RATES, ETAS = torch.arange(1, 41).double() / 200, torch.arange(50).double() / 50  # what the sliders can be set to
STEPS, LONG = 60, 600  # of the film; of the descents behind the map
ENOUGH = 0.01  # of the first loss: there a descent counts as done
RATE, ETA, STEP = 0.045, 0.8, 12  # where it begins
HINT = "The sliders move while a kernel runs: run this cell. Without sliders: valley(rate=0.1, eta=0.5)"
MOMENTUM, PLAIN = PALETTE[0], PALETTE[3]
HEIGHT, WIDTHS = 2.7, (2.5, 1.8, 2.05)
Each, Numbers, Losses = Float[Tensor, "*#batch"], Float[Tensor, "*batch"], Float[Tensor, "steps *batch"]


def descent(rate: Each, eta: Each, steps: int) -> Float[Tensor, "steps ... 2"]:
    """(eq. 6.1): places w_0 … w_steps of descents with these rates and momenta, from `START`."""
    rate, eta = (x[..., None] for x in torch.broadcast_tensors(rate, eta))
    w, u = START.expand(*rate.shape[:-1], 2), torch.zeros(2).double()
    places = [w]
    for _ in range(steps):
        u = CURVATURES * w + eta * u
        w = w - rate * u
        places.append(w)
    return torch.stack(places)


def losses(places: Float[Tensor, "*batch 2"]) -> Numbers:
    """½ Σ λ w²."""
    return 0.5 * (CURVATURES * places.square()).sum(-1)


def steps_needed(loss: Losses) -> Numbers:
    """From which step on the loss stays below 1 % of its start; inf where it does not within these steps."""
    above = ~(loss <= ENOUGH * loss[0])  # nan, beyond all numbers, is above too
    steps = torch.arange(len(loss)).double().reshape(-1, *[1] * (loss.dim() - 1))
    needed = (above * (steps + 1)).amax(0)
    return needed.where(needed < len(loss), torch.inf)


class Choice:
    """What is measured of one rate and one momentum, beside plain descent at that rate."""

    def __init__(self, needed: Float[Tensor, "rates etas"], rate: float, eta: float | int) -> None:
        self.rate, self.eta = rate, eta
        self.places = {each: descent(*torch.tensor([rate, each], dtype=torch.float64), LONG) for each in (0.0, eta)}
        at_this_rate = needed[(RATES - rate).abs().argmin()]
        self.best, self.fewest = ETAS[at_this_rate.argmin()].item(), at_this_rate.min().item()

    def title(self) -> str:
        """The finding in short."""
        return f"Rate {self.rate:g}, η = {self.eta:g}: {outcome(self.places[self.eta])}"

    def sentence(self, step: int) -> str:
        """All in words: what this choice does, what plain descent does, what would be best, and where the balls are."""
        said = [self.title()]
        if self.eta:
            said.append(f"Plain descent (η = 0) {outcome(self.places[0.0])}")
        said.append(f"The best η at this rate is {self.best:g}: below 1 % from step {self.fewest:.0f} on")
        ways = sorted(self.places.items(), reverse=True)  # the ball with momentum before the plain one
        far = " and ".join(f"{_distance(way[step])} with η = {eta:g}" for eta, way in ways)
        return ". ".join([*said, f"After {step} steps the distance from the lowest place is {far}"])


def outcome(way: Float[Tensor, "steps 2"]) -> str:
    """Whether a descent converges, by what its loss did."""
    loss = losses(way)
    needed = steps_needed(loss).item()
    if needed < torch.inf:
        sides = way[: int(needed) + 1].sign()
        manner = "swings, and converges" if (sides.diff(dim=0) != 0).sum(0).max() > 1 else "converges"
        return f"{manner}: loss below 1 % from step {needed:.0f} on"
    if not loss[-1] <= 100 * loss[0]:
        return "diverges: its loss grows without end"
    return f"comes to no rest: its loss is {loss[-1] / loss[0]:.0%} after {LONG} steps".replace("%", " %")


def _distance(place: Float[Tensor, " 2"]) -> str:
    far = place.norm().item()
    return f"{far:.1f}" if far < 1000 else "over 1,000"


class Picture:
    """Valley, loss and map: artists made once and moved by `draw`."""

    @in_style
    def __init__(self) -> None:
        self.needed = steps_needed(losses(descent(RATES[:, None], ETAS, LONG)))
        self.figures = [Figure((width, HEIGHT), layout="constrained") for width in WIDTHS]
        valley, loss, choices = (figure.subplots() for figure in self.figures)
        self.balls = {  # in each panel, by η: plain descent below
            name: [_ball(axes, colour, mark, dots) for axes, dots in ((valley, 2.2), (loss, 0.0))]
            for name, colour, mark in (("plain", PLAIN, "s"), ("momentum", MOMENTUM, "o"))
        }
        self._set_up_valley(valley)
        self._set_up_loss(loss)
        self.here = self._set_up_map(choices)
        for figure in self.figures:  # to find a layout takes as long as to draw it
            figure.draw_without_rendering()
            figure.set_layout_engine("none")

    def _set_up_valley(self, axes: Axes) -> None:
        """Lines of equal loss, and the names of the balls."""
        x, y = np.meshgrid(np.linspace(-10, 5, 120), np.linspace(-3, 3, 80))
        heights = losses(torch.tensor(np.stack([x, y], -1))).numpy()
        axes.contour(x, y, heights, levels=np.geomspace(0.5, 110, 9), colors="#bdbdb8", linewidths=0.7)
        axes.plot(0, 0, "+", color="black", ms=10)
        axes.set(xlabel="w₁ (flat)", ylabel="w₂ (steep)", xlim=(-10, 5), ylim=(-3, 3), xticks=[-10, -5, 0, 5])
        self.names = axes.legend(
            handles=[ball for _, ball in (balls[0] for balls in self.balls.values())],
            labels=["", ""],
            loc="upper right",
            handletextpad=0,
            borderaxespad=0,
            frameon=True,
            edgecolor="none",
        ).get_texts()

    @staticmethod
    def _set_up_loss(axes: Axes) -> None:
        """The loss by step, and where it counts as small."""
        axes.set(xlabel="step", ylabel="loss / first loss", yscale="log", xlim=(0, STEPS), ylim=(1e-5, 30))
        axes.set_yticks([1e-4, 1e-2, 1], ["10⁻⁴", "10⁻²", "1"])  # as plain text: maths takes as long as all the rest
        axes.minorticks_off()
        axes.axhline(ENOUGH, color="#6b6b6b", lw=0.8, ls=":")
        axes.text(STEPS, ENOUGH * 1.2, "1 %", ha="right", fontsize=8.5, color="#4b4b4b")

    def _set_up_map(self, axes: Axes) -> Line2D:
        """Steps needed for every choice, grey where none are enough; the limit of theory; a ring at the choice."""
        colours = mpl.colormaps["cividis_r"].with_extremes(bad="#d9d9d4")
        needed = np.ma.masked_invalid(self.needed.T.numpy())
        mesh = axes.pcolormesh(
            RATES.numpy(), ETAS.numpy(), needed, cmap=colours, norm=LogNorm(5, LONG), rasterized=True
        )
        axes.plot((2 * (1 + ETAS) / CURVATURES.max()).numpy(), ETAS.numpy(), color="black", lw=1)
        axes.text(0.199, 0.08, "diverges", ha="right", fontsize=8.5)
        axes.set(xlabel="rate", ylabel="momentum η", xlim=(0.0025, 0.2025), ylim=(-0.01, 0.99))
        bar = axes.figure.colorbar(mesh, location="top", label="steps to 1 %", ticks=[5, 20, 100, 500], format="%d")
        bar.outline.set_visible(False)
        bar.minorticks_off()
        return axes.plot([], [], "o", color="#d55e00", mec="white", mew=1.5, ms=10)[0]

    def draw(self, rate: float, eta: float | int, step: int) -> Choice:
        """Move everything to another choice, and say what it does."""
        choice = Choice(self.needed, rate, eta)
        for (in_valley, in_loss), each, name in zip(self.balls.values(), (0.0, eta), self.names, strict=True):
            places = choice.places[each][: STEPS + 1]
            share = losses(places) / losses(START)
            seen = (places.abs() < 12).all(1).int().cumprod(0).bool()  # a way ends where it leaves the picture
            _move(in_valley, places.where(seen[:, None], torch.nan), step)
            _move(in_loss, torch.stack([torch.arange(STEPS + 1), share.clamp(1e-9, 1e9)], 1), step)
            name.set_text(f"η = {each:g}")
        self.here.set_data([rate], [eta])
        return choice


def _ball(axes: Axes, colour: tuple, mark: str, dots: float) -> tuple[Line2D, Line2D]:
    """A way with a dot a step, of this size, and what is on it."""
    way = axes.plot([], [], f"{mark}-", color=colour, lw=1.2, ms=dots, alpha=0.8)[0]
    return way, axes.plot([], [], mark, color=colour, ms=8, mec="white")[0]


def _move(ball: tuple[Line2D, Line2D], points: Float[Tensor, "steps 2"], step: int) -> None:
    for line, shown in zip(ball, (points, points[step : step + 1]), strict=True):
        line.set_data(*shown.T.numpy())


class Sliders:
    """Rate, momentum and step, and the picture that follows them."""

    def __init__(self, picture: Picture, rate: float, eta: float | int, step: int) -> None:
        import ipywidgets  # a page without it still shows the picture

        self.picture = picture
        by = RATES[0].item()
        self.rate = controls.slider("rate", rate, by, RATES[-1].item(), by)
        self.rate.readout_format = ".3f"
        self.eta = controls.slider("momentum η", eta, 0.0, ETAS[-1].item(), ETAS[1].item())
        self.step = controls.slider("step", step, 0, STEPS)
        play = ipywidgets.Play(value=step, min=0, max=STEPS, interval=250)
        ipywidgets.jslink((play, "value"), (self.step, "value"))
        self.words, self.image = controls.words(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.rate, self.eta, self.step, play, self.image, self.words])
        for control in (self.rate, self.eta, self.step):
            control.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def redraw(self) -> None:
        """The picture and the words of what is chosen now."""
        choice = self.picture.draw(self.rate.value, self.eta.value, self.step.value)
        sentence = choice.sentence(self.step.value)
        self.image.value = frame(self.picture.figures, choice.title(), sentence)
        self.words.value = controls.said(sentence)


def valley(rate: float = RATE, eta: float | int = ETA, step: int = STEP) -> None:
    """A descent with this rate and momentum beside a plain one, to be dragged; without a kernel, its picture.

    Raises ValueError where a slider cannot stand there.
    """
    for name, value, allowed in (("rate", rate, RATES), ("eta", eta, ETAS), ("step", step, torch.arange(STEPS + 1))):
        if not (allowed - value).abs().min() < 1e-9:
            first, second, last = (x.item() for x in (allowed[0], allowed[1], allowed[-1]))
            raise ValueError(
                f"{name}={value!r} is no place of this slider.\n"
                f"It goes from {first:g} to {last:g} in steps of {second - first:g}."
            )
    picture = Picture()
    choice = picture.draw(rate, eta, step)
    words = choice.sentence(step)
    card = frame(picture.figures, choice.title(), words)
    still_or_live(f"{card}{controls.said(words)}", f"{words}.", HINT, lambda: Sliders(picture, rate, eta, step).box)
