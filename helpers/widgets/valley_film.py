"""A ball in a valley: gradient descent with and without momentum, as a film that plays, and as a strip of it."""

import html

import matplotlib.pyplot as plt
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from helpers.plots.page import FRAME, STYLE, page_bundle
from helpers.widgets.live import still_or_live

STEEP, START, RATE, STEPS = 20.0, (-9.0, 2.2), 0.045, 40  # the loss is ½ (x² + STEEP · y²)
COLOURS = {0.0: "#d55e00", 0.8: "#0173b2"}
STRIP = (2, 5, 12, 40)  # steps shown where nothing can move


def path(eta: float) -> Float[Tensor, "steps 2"]:
    """(eq. 6.1): places w_t of a descent with momentum η, from `START`."""
    w, u = torch.tensor(START), torch.zeros(2)
    places = [w]
    for _ in range(STEPS):
        u = torch.tensor([1.0, STEEP]) * w + eta * u
        w = w - RATE * u
        places.append(w)
    return torch.stack(places)


class Valley:
    """One picture of the valley: artists made once and moved by `draw`."""

    def __init__(self, axes: Axes) -> None:
        x, y = np.meshgrid(np.linspace(-10, 5, 120), np.linspace(-3, 3, 80))
        axes.contour(x, y, 0.5 * (x**2 + STEEP * y**2), levels=np.geomspace(0.5, 110, 9), cmap="Greys", linewidths=0.7)
        axes.plot(0, 0, "+", color="black", ms=10)
        self.axes, self.paths = axes, {eta: path(eta).numpy() for eta in COLOURS}
        self.lines = {eta: axes.plot([], [], "-", color=colour, lw=1.2)[0] for eta, colour in COLOURS.items()}
        self.balls = {
            eta: axes.plot([], [], mark, color=colour, ms=8, label=f"η = {eta:g}")[0]
            for (eta, colour), mark in zip(COLOURS.items(), "so", strict=True)
        }
        axes.set(xlabel="w₁ (flat)", ylabel="w₂ (steep)", xlim=(-10, 5), ylim=(-3, 3))

    def draw(self, step: int) -> None:
        """Both balls after this many steps, and the way they came."""
        for eta, places in self.paths.items():
            self.lines[eta].set_data(*places[: step + 1].T)
            self.balls[eta].set_data(*places[step : step + 1].T)
        self.axes.set_title(f"after {step} steps", fontsize=10)

    def sentence(self, step: int) -> str:
        """The same in words."""
        far = " and ".join(f"{np.hypot(*places[step]):.1f} with η = {eta:g}" for eta, places in self.paths.items())
        return f"After {step} steps the distance from the lowest place is {far}."


def strip() -> tuple[Figure, str]:
    """Some steps side by side, and what is seen in words."""
    with plt.rc_context(STYLE):
        figure = Figure((10.8, 2.9), layout="constrained")
        row = [Valley(axes) for axes in figure.subplots(1, len(STRIP), sharey=True)]
    for frame, step in zip(row, STRIP, strict=True):
        frame.draw(step)
        frame.axes.label_outer()
    row[0].axes.legend(frameon=False, fontsize=8, loc="upper right")
    title = "Momentum swings across the valley, and is down long before"
    figure.suptitle(title, fontsize=11)
    return figure, " ".join([f"{title}."] + [frame.sentence(step) for frame, step in zip(row, STRIP, strict=True)])


class Film:
    """A play button, a slider, and the picture that follows them."""

    def __init__(self) -> None:
        import ipywidgets  # a page without it still shows the strip

        with plt.rc_context(STYLE):
            figure = Figure((6.4, 3.4), layout="constrained")
            self.frame = Valley(figure.subplots())
        self.frame.axes.legend(frameon=False, loc="upper right")
        self.figure = figure
        play = ipywidgets.Play(value=0, min=0, max=STEPS, interval=250, description="play")
        self.step = ipywidgets.IntSlider(value=0, min=0, max=STEPS, description="step")
        ipywidgets.jslink((play, "value"), (self.step, "value"))
        self.image, self.words = ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([ipywidgets.HBox([play, self.step]), self.image, self.words])
        self.step.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def redraw(self) -> None:
        """The picture and the words of this step."""
        self.frame.draw(self.step.value)
        sentence = self.frame.sentence(self.step.value)
        self.image.value = page_bundle(self.figure, sentence, **FRAME)["text/html"]
        self.words.value = f'<span role="status">{html.escape(sentence)}</span>'


def valley() -> None:
    """The film; where no kernel runs, some of its pictures side by side."""
    figure, alt = strip()
    still_or_live(figure, alt, "The film plays while a kernel runs: run this cell.", lambda: Film().box)
