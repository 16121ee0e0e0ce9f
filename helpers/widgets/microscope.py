"""The microscope: a head's attention to demonstrations, the ΔW that they make, and whether both do the same."""

import html

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.plots.page import CARD, SIGNED, STYLE, image, in_style
from helpers.support.boxes import SMALL
from helpers.widgets import controls
from helpers.widgets.head import READINGS, Head, View, look, short
from helpers.widgets.live import still_or_live
from helpers.widgets.prompt_text import prompt_text

SIZE, DPI = (2.9, 2.7), 144  # of one picture: two stand side by side in the column of the text
SEEN = 0.98  # the share of ΔW's entries within its scale of colours: one large key dimension of 64 does not set it
DOTS, LINE = "#0173b2", "#8a8a86"
BLOCK = "display: inline-block; vertical-align: top; max-width: 100%; margin: 0 18px 8px 0"
WIDE = 1000  # pixels: all three side by side where there is room
HINT = "The controls move while a kernel runs: run this cell. Without controls: microscope(heads, demos=2)"


class Pictures:
    """ΔW as a map and both effects as a scatter: artists for one head, made once and moved by `draw`."""

    @in_style
    def __init__(self, head: Head) -> None:
        whole = look(head, len(head.demos), next(iter(head.queries)), "relaxed").dw
        self.most = torch.quantile(whole.abs(), SEEN).item() or 1.0
        self.matrix, self.effect = (Figure(SIZE, layout="none", facecolor=STYLE["figure.facecolor"]) for _ in "12")
        self.maps: dict[int, str] = {}  # of ΔW, by the number of demonstrations: nothing else changes it
        self._set_up_matrix(*whole.shape)
        self._set_up_effect()

    def _set_up_matrix(self, m: int, d: int) -> None:
        """One scale of colours for any number of demonstrations."""
        axes, scale = self.matrix.add_axes((0.19, 0.19, 0.56, 0.77)), self.matrix.add_axes((0.79, 0.19, 0.045, 0.77))
        self.image = axes.imshow([[0.0] * d] * m, cmap=SIGNED, aspect="auto", interpolation="nearest")
        self.image.set_clim(-self.most, self.most)
        bar = self.matrix.colorbar(self.image, cax=scale, ticks=[-self.most, 0, self.most])
        bar.ax.set_yticklabels([short(end) for end in (-self.most, 0, self.most)])
        bar.outline.set_visible(False)
        axes.set(xlabel="key dimension", ylabel="value dimension")
        axes.xaxis.set_ticks(_ticks(d))
        axes.yaxis.set_ticks(_ticks(m))
        axes.spines[:].set_visible(True)
        beyond = f"; {1 - SEEN:.0%} of the entries lie beyond" if m * d > 100 else ""
        self.scale = f"White is 0; colours end at ±{short(self.most)}{beyond}."

    def _set_up_effect(self) -> None:
        """A dot a value dimension, and the line on which both are equal."""
        self.axes = self.effect.add_axes((0.24, 0.19, 0.72, 0.77))
        self.axes.axline((0, 0), slope=1, color=LINE, lw=1.2, zorder=1)
        (self.dots,) = self.axes.plot([], [], "o", color=DOTS, ms=5, alpha=0.75, mec="none", zorder=2)
        for axis in (self.axes.xaxis, self.axes.yaxis):
            axis.set_major_locator(MaxNLocator(5, symmetric=True))

    @in_style
    def matrix_block(self, view: View) -> str:
        """ΔW under its heading, and the scale of its colours; drawn once a number of demonstrations."""
        if view.count not in self.maps:
            self.image.set_data(view.dw.numpy())
            m, d = view.dw.shape
            most = short(view.dw.abs().max().item())
            alt = f"A map of ΔW, {m} value dimensions by {d} key dimensions. Its largest entry is {most} in size."
            self.maps[view.count] = block(f"ΔW = Σ v ⊗ k, {view.shown()}", image(self.matrix, alt, DPI), self.scale)
        return self.maps[view.count]

    @in_style
    def effect_block(self, view: View) -> str:
        """The scatter under its heading, and the residual in words."""
        self.dots.set_data(view.by_weights, view.by_attention)
        room = 1.12 * max(view.by_weights.abs().max().item(), view.by_attention.abs().max().item()) or 1
        unit = ", length 1" if view.reading == "softmax" else ""
        self.axes.set(xlim=(-room, room), ylim=(-room, room), xlabel=f"ΔW q{unit}", ylabel=f"attention adds{unit}")
        alt = f"A dot for each of {len(view.by_weights)} value dimensions: ΔW q across, what attention adds upwards."
        below = f"<b>{html.escape(view.residual())}</b><br>A dot is a value dimension; on the line both are equal."
        return block(f"ΔW q, and what {view.reading} attention adds", image(self.effect, alt, DPI), below)


def _ticks(size: int) -> range:
    return range(size) if size < 12 else range(0, size, 16)


def block(heading: str, body: str, below: str = "") -> str:
    """One of the parts that stand side by side, or below each other where the page is narrow."""
    small = f'<div style="{SMALL}; max-width: 21em">{below}</div>' if below else ""
    return f'<div style="{BLOCK}"><div style="padding-bottom: 4px"><b>{heading}</b></div>{body}{small}</div>'


def card(title: str, *blocks: str) -> str:
    """Blocks on a card for light and dark pages."""
    above = f'<div style="font-weight: bold; padding-bottom: 8px">{html.escape(title)}</div>' if title else ""
    return f'<div style="{CARD}; max-width: {WIDE}px; line-height: 1.4">{above}{"".join(blocks)}</div>'


def together(*blocks: str) -> str:
    """Blocks that a page wraps as one, before it takes them apart."""
    return f'<div style="display: inline-block; vertical-align: top; max-width: 100%">{"".join(blocks)}</div>'


def still(head: Head, count: int, query: str) -> tuple[str, str]:
    """Both readings of one state as html, and what is seen in words."""
    pictures, (relaxed, softmax) = Pictures(head), (look(head, count, query, reading) for reading in READINGS)
    page = card(
        f"{relaxed.shown()}, query “{query}”",
        *(block(f"{view.reading.capitalize()} attention", prompt_text(view)) for view in (relaxed, softmax)),
        "<br>",
        pictures.matrix_block(relaxed),
        together(*(pictures.effect_block(view) for view in (relaxed, softmax))),
    )
    alt = "The prompt tinted by attention, ΔW, and its effect, for two kinds of attention."
    return page, f"{alt} {relaxed.alt()} {softmax.alt()}"


class Microscope:
    """The controls and the page below them, which follows."""

    def __init__(self, heads: dict[str, Head], head: str, demos: int, query: str) -> None:
        import ipywidgets  # a page without it still shows the picture

        self.heads = heads
        self.head = controls.menu("head", list(heads), head)
        self.demos = controls.slider("demonstrations", demos, 0, len(heads[head].demos))
        self.query = controls.stops("query token", list(heads[head].queries), query)
        self.reading = controls.choice("attention", list(READINGS), "relaxed")
        self.page, self.words = ipywidgets.HTML(), controls.words()
        moved = self.head, self.demos, self.query, self.reading
        self.box = ipywidgets.VBox([*moved, self.page, self.words])
        self._entering = False
        self._enter()
        self.head.observe(lambda _: self._enter(), "value")
        for control in moved[1:]:
            control.observe(lambda _: self.redraw(), "value")

    def _enter(self) -> None:
        """Another head: its own artists, its own choices; all demonstrations, the last query where the old is none."""
        head = self.heads[self.head.value]
        self.pictures = Pictures(head)
        if tuple(head.queries) != tuple(self.query.options) or len(head.demos) != self.demos.max:
            self._entering = True
            self.demos.max = self.demos.value = len(head.demos)
            self.query.options, self.query.value = list(head.queries), list(head.queries)[-1]
            self._entering = False
        self.redraw()

    def redraw(self) -> None:
        """The page and the words of what is chosen now."""
        if self._entering:
            return
        view = look(self.heads[self.head.value], self.demos.value, self.query.value, self.reading.value)
        pictures = together(self.pictures.matrix_block(view), self.pictures.effect_block(view))
        self.page.value = card("", block("Attention of the framed token", prompt_text(view)), pictures)
        self.words.value = f'<div style="{SMALL}; line-height: 1.4">In words: {html.escape(view.alt())}</div>'


def microscope(heads: dict[str, Head], head: str | None = None, demos: int | None = None, query: str = "") -> None:
    """Attention to demonstrations and the ΔW they make, side by side, starting at `head`, `demos` and `query`.

    Where no kernel runs there is a still of both readings of that state. Raises ValueError for a choice that is none.
    """
    if not heads:
        raise ValueError("No heads: give at least one, such as {'toy': toy_head()}.")
    head = next(iter(heads)) if head is None else head
    if head not in heads:
        raise ValueError(f"head={head!r}: one of {', '.join(map(repr, heads))}.")
    most, queries = len(heads[head].demos), list(heads[head].queries)
    demos, query = most if demos is None else demos, query or queries[-1]
    if not 0 <= demos <= most:
        raise ValueError(f"demos={demos!r}: {head} has 0 to {most} demonstrations.")
    if query not in queries:
        raise ValueError(f"query={query!r}: one of {', '.join(map(repr, queries))}.")
    page, alt = still(heads[head], demos, query)
    still_or_live(page, alt, HINT, lambda: Microscope(heads, head, demos, query).box)
