"""How much fits into a state: letters written under random keys, and what is read back, as curves and as letters.

The page's own function writes and reads, so that whoever changes it sees what that does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import Tensor

from helpers.plots.page import PALETTE, frame, in_style
from helpers.support import CourseError
from helpers.widgets import controls
from helpers.widgets.live import still_or_live

WIDTHS = (8, 16, 32, 64, 128, 256)
PAIRS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
DRAWS, WIDTH, COUNT = 10, 64, 96
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LINE, LINES = 24, 4  # letters in a line, and lines shown
HINT = "The sliders move while a kernel runs: run this cell. Without sliders: memory(remember, width=16, pairs=8)"
WRONG = '<b style="background-color: rgba(198, 40, 40, 0.3); text-decoration: underline">{}</b>'
FAINT, INK = "#8a8a86", "#4b4b4b"
Letters, Entries = Int[Tensor, " count"], Float[Tensor, "count 26"]
Remember = Callable[[int, int, int], tuple[Letters, Entries]]


class Recall:
    """One word, written and read back."""

    def __init__(self, remember: Remember, pairs: int, width: int, seed: int) -> None:
        self.pairs, self.width, self.seed = pairs, width, seed
        self.letters, entries = _checked(remember(pairs, width, seed), pairs)
        self.read = entries.argmax(1)
        self.right = int((self.read == self.letters).sum())
        self.error = (entries - torch.eye(26, dtype=entries.dtype)[self.letters]).norm(dim=1).mean().item()

    def title(self) -> str:
        """The finding in short."""
        return f"{self.pairs} pairs in a state of width {self.width}: {self.right} of {self.pairs} letters come back"

    def sentence(self, error: float, share: float) -> str:
        """All in words, with the means over all draws."""
        mean = f"Mean of {DRAWS} draws: {error:.2f} and {share:.0%}".replace("%", " %")
        return f"{self.title()}. A reading is off by {self.error:.2f} lengths of a value. {mean} read back right"

    def text(self, wrong: str = "{}") -> str:
        """The word above what is read back, line by line, a ^ below what is wrong; `wrong` is put around it, too."""
        shown = []
        for start in range(0, min(self.pairs, LINE * LINES), LINE):
            here = slice(start, start + LINE)
            written, read = ("".join(ALPHABET[i] for i in word[here]) for word in (self.letters, self.read))
            pairs = list(zip(written, read, strict=True))
            below = "".join(b if a == b else wrong.format(b) for a, b in pairs)
            marks = "".join(" " if a == b else "^" for a, b in pairs)
            shown.append(f"wrote {written}\nread  {below}\n      {marks}".rstrip(" "))
        left = self.pairs - LINE * LINES
        return "\n".join(shown + [f"(and {left} more)"] * (left > 0)).rstrip()

    def page(self) -> str:
        """The same as html, wrong letters in colour."""
        return f'<pre style="line-height: 1.25; overflow-x: auto">{self.text(WRONG)}</pre>'


def _checked(recalled: object, pairs: int) -> tuple[Letters, Entries]:
    """Raises CourseError where these are not letters and what is read for each."""
    try:
        letters, entries = recalled
        fits = letters.shape == (pairs,) and entries.shape == (pairs, 26) and 0 <= letters.min() <= letters.max() < 26
    except (TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise CourseError(
            f"remember({pairs}, …) did not return {pairs} letters and what is read for each: letters "
            f"[{pairs}] from 0 to 25, entries [{pairs} 26].\nReturn both: return letters, keys @ state.T"
        )
    return letters, entries


@contextmanager
def one_thread() -> Iterator[None]:
    """Many small products run faster so: on a busy machine threads that wait for each other take far longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Curves:
    """Error and letters read back right, by pairs written: artists made once and moved by `draw`."""

    @in_style
    def __init__(self, remember: Remember) -> None:
        self.remember = remember
        self.means = lru_cache(self._means)  # by width
        self.figures = [Figure((3.1, 2.9), layout="constrained") for _ in range(2)]
        error, share = (figure.subplots() for figure in self.figures)
        error.set(
            ylabel="error, in lengths of a value",
            yscale="log",
            ylim=(0.04, 12),
            yticks=[0.1, 1, 10],
            yticklabels=["0.1", "1", "10"],
        )
        error.axhline(1, color=FAINT, lw=0.8, ls=":")
        self.theory = error.plot([], [], "--", color=FAINT, lw=1.2)[0]
        self.name = error.text(2, 7.5, "", fontsize=8.5, color=INK)
        share.set(
            ylabel="letters read back right",
            ylim=(-0.03, 1.05),
            yticks=[0, 0.5, 1],
            yticklabels=["0 %", "50 %", "100 %"],
        )
        share.axhline(1 / 26, color=FAINT, lw=0.8, ls=":")
        share.text(2, 1 / 26 + 0.02, "guessing", fontsize=8.5, color=INK)
        self.lines = [self._set_up(axes) for axes in (error, share)]
        for figure in self.figures:
            figure.draw_without_rendering()
            figure.set_layout_engine("none")

    @staticmethod
    def _set_up(axes: Axes) -> tuple[Line2D, tuple[Line2D, Text], Line2D]:
        """The curve, the place where there are as many pairs as dimensions, and the point of this draw."""
        axes.set(
            xlabel="pairs written",
            xscale="log",
            xlim=(1.7, 620),
            xticks=[2, 8, 32, 128, 512],
            xticklabels=["2", "8", "32", "128", "512"],
        )
        axes.minorticks_off()  # they take as long to draw as all the rest
        curve = axes.plot([], [], "-", color=PALETTE[0])[0]
        full = axes.axvline(1, color=FAINT, lw=0.8, ls=":")
        label = axes.text(1, 0.16, "pairs = width ", ha="right", fontsize=8.5, color=INK, rotation=90)
        label.set_transform(axes.get_xaxis_transform())
        return curve, (full, label), axes.plot([], [], "o", color=PALETTE[3], mec="white", ms=9)[0]

    @one_thread()
    def _means(self, width: int) -> Float[Tensor, "2 pairs"]:
        """Mean error and share of letters right over all draws, for every number of pairs."""
        found = [[Recall(self.remember, pairs, width, seed) for seed in range(DRAWS)] for pairs in PAIRS]
        return torch.tensor([[[x.error, x.right / x.pairs] for x in row] for row in found]).mean(1).T

    def draw(self, pairs: int, width: int, draw: int) -> tuple[Recall, str]:
        """Move everything to another state; what is read back there, and all in words."""
        recall, means = Recall(self.remember, pairs, width, draw - 1), self.means(width)
        for lines, mean, here in zip(self.lines, means, (recall.error, recall.right / pairs), strict=True):
            curve, (full, label), point = lines
            curve.set_data(PAIRS, mean)
            full.set_xdata([width, width])
            label.set_x(width)
            point.set_data([pairs], [here])
        self.theory.set_data(PAIRS, [((n - 1) / width) ** 0.5 for n in PAIRS])
        self.name.set_text(f"dashed: √((pairs − 1) / {width})")
        return recall, recall.sentence(*means[:, PAIRS.index(pairs)].tolist())


class Sliders:
    """Width, pairs and draw, and the picture and letters that follow them."""

    def __init__(self, curves: Curves, width: int, pairs: int) -> None:
        import ipywidgets  # a page without it still shows the picture

        self.curves = curves
        self.width = controls.stops("width", WIDTHS, width)
        self.pairs = controls.stops("pairs written", PAIRS, pairs)
        self.seed = controls.slider("draw", 1, 1, DRAWS)
        self.words, self.image, self.letters = controls.words(), ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.width, self.pairs, self.seed, self.image, self.letters, self.words])
        for control in (self.width, self.pairs, self.seed):
            control.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def redraw(self) -> None:
        """Picture, letters and words of what is chosen now."""
        recall, sentence = self.curves.draw(self.pairs.value, self.width.value, self.seed.value)
        self.image.value = frame(self.curves.figures, recall.title(), sentence)
        self.letters.value = recall.page()
        self.words.value = controls.said(sentence)


def memory(remember: Remember, width: int = WIDTH, pairs: int = COUNT) -> None:
    """Pairs written against recall, width and pairs as sliders; without a kernel, the picture of this width and pairs.

    `remember(count, width, seed)` writes random letters and reads them: letters [count] and entries [count 26]. Raises
    ValueError where a slider cannot stand there, CourseError where `remember` returns something else.
    """
    for name, value, allowed in (("width", width, WIDTHS), ("pairs", pairs, PAIRS)):
        if value not in allowed:
            raise ValueError(f"{name}={value!r} is no place of this slider.\nIt has {', '.join(map(str, allowed))}.")
    curves = Curves(remember)
    recall, sentence = curves.draw(pairs, width, 1)
    card = frame(curves.figures, recall.title(), sentence)
    still_or_live(
        f"{card}{recall.page()}{controls.said(sentence)}",
        f"{sentence}.\n{recall.text()}",
        HINT,
        lambda: Sliders(curves, width, pairs).box,
    )
