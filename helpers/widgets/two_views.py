"""The two-view microscope: one head's attention to demonstrations, and the change of weights that they are."""

import html
import textwrap

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from helpers.plots.page import FRAME, STYLE, page_bundle
from helpers.widgets.head import READINGS, Head, View, look
from helpers.widgets.live import still_or_live

BLUES, BY_WEIGHTS, BY_ATTENTION = ("#0173b2", "#56b4e9"), "#f2c777", "#0173b2"
SIZE = (10.8, 3.7)


class Triptych:
    """Attention, ΔW, effect: artists for one head, made once and moved by `draw`."""

    def __init__(self, figure: Figure | SubFigure, head: Head) -> None:
        self.places = [i for demo in head.demos for i in demo]
        self.ends = [sum(map(len, head.demos[:count])) for count in range(len(head.demos) + 1)]
        with plt.rc_context(STYLE | {"axes.titlesize": 10, "axes.labelsize": 9}):
            boxes = (0.075, 0.25), (0.4, 0.18), (0.588, 0.01), (0.72, 0.27)  # left edges and widths
            self.attention, self.matrix, scale, self.effect = (
                figure.add_axes((left, 0.27, width, 0.51)) for left, width in boxes
            )
        self._set_up_attention(head)
        self._set_up_matrix(head, figure, scale)
        self._set_up_effect(head.v.shape[1])
        for axes in (self.attention, self.effect):
            axes.axhline(0, color="black", lw=0.8)
        self.heading = figure.text(0.5, 0.95, "", ha="center", va="center", fontsize=11, weight="bold")

    def _set_up_attention(self, head: Head) -> None:
        """A bar a demonstration token, and a grey field over what is not in context."""
        n = len(self.places)
        colours = [BLUES[number % 2] for number, demo in enumerate(head.demos) for _ in demo]
        self.bars = self.attention.bar(range(n), [0] * n, color=colours)
        if n > 32:
            self.attention.set_xticks(self.ends[:-1], range(1, len(self.ends)), fontsize=8)
            self.attention.set_xlabel("demonstration (each starts at its number)")
        else:
            labels = [head.tokens[i].strip() or "␣" for i in self.places]
            self.attention.set_xticks(range(n), [textwrap.shorten(x, 11) or x[:11] for x in labels], rotation=90)
            self.attention.tick_params(axis="x", labelsize=8 if n < 25 else 6.5)
        self.attention.set_xlim(-0.6, n - 0.4)
        across = self.attention.get_xaxis_transform()
        self.absent = plt.Rectangle((n, 0), 0, 1, color="#e3e3e3", lw=0, zorder=0, transform=across)
        self.attention.add_patch(self.absent)

    def _set_up_matrix(self, head: Head, figure: Figure | SubFigure, scale: Axes) -> None:
        """ΔW, on one scale of colours for any number of demonstrations."""
        m, d = head.v.shape[1], head.q.shape[1]
        self.image = self.matrix.imshow([[0.0] * d] * m, cmap="cividis", aspect="auto", interpolation="nearest")
        sums = (look(head, count, next(iter(head.queries)), "relaxed").dw for count in range(1, len(head.demos) + 1))
        most = max(dw.abs().max().item() for dw in sums) or 1
        self.image.set_clim(-most, most)
        bar = figure.colorbar(self.image, cax=scale, ticks=[-most, 0, most])
        bar.ax.set_yticklabels([f"−{most:.3g}", "0", f"{most:.3g}"], fontsize=8)
        bar.outline.set_visible(False)
        self.matrix.set(xlabel="key dimension", ylabel="value dimension")
        for axis, size in ((self.matrix.xaxis, d), (self.matrix.yaxis, m)):
            axis.set_ticks(_ticks(size))

    def _set_up_effect(self, m: int) -> None:
        """Two bars a value dimension, a narrow one in a wide one."""
        self.effect.xaxis.set_ticks(_ticks(m))
        self.wide, self.narrow = (
            self.effect.bar(range(m), [0] * m, width, color=colour, label=label, snap=False)
            for width, colour, label in ((0.92, BY_WEIGHTS, "ΔW q"), (0.4, BY_ATTENTION, "what attention adds"))
        )
        self.effect.set_xlim(-0.6, m - 0.4)
        self.effect.set_xlabel("value dimension")
        self.effect.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=9)

    def draw(self, view: View) -> None:
        """Move everything to another state."""
        weights = view.weights[self.places].tolist()
        self._heights(self.attention, [(self.bars, weights)])
        self._heights(self.effect, [(self.wide, view.by_weights.tolist()), (self.narrow, view.by_attention.tolist())])
        start, end = self.ends[view.count] - 0.5, self.ends[-1] - 0.5
        self.absent.set_bounds(start, 0, end - start, 1)  # grey: not in context
        self.image.set_data(view.dw.numpy())
        unit = view.reading == "softmax"
        self.attention.set_ylabel("softmax weight" if unit else "k·q, raw")
        self.effect.set_ylabel("both brought to length 1" if unit else "change of the output")
        for axes, title in zip((self.attention, self.matrix, self.effect), view.titles(), strict=True):
            axes.set_title(textwrap.fill(title, 36))
        self.heading.set_text(f"{view.reading}, query “{view.query}” — {view.residual()}")

    @staticmethod
    def _heights(axes: Axes, groups: list) -> None:
        every = [0.0]
        for bars, heights in groups:
            every += heights
            for bar, height in zip(bars, heights, strict=True):
                bar.set_height(height)
        room = 0.06 * (max(every) - min(every)) or 1
        axes.set_ylim(min(every) - room * (min(every) < 0), max(every) + room)


def _ticks(size: int) -> range:
    return range(size) if size < 12 else range(0, size, 16)


def still(head: Head, count: int, query: str) -> tuple[Figure, str]:
    """Both readings of one state, relaxed above softmax, and what is seen in words."""
    figure = Figure((SIZE[0], 2 * SIZE[1]))
    views = [look(head, count, query, reading) for reading in READINGS]
    for row, view in zip(figure.subfigures(2, 1), views, strict=True):
        row.set_facecolor("white")
        Triptych(row, head).draw(view)
    return figure, "Two rows of three panels: attention to demonstrations, ΔW, effect. " + " ".join(
        view.alt() for view in views
    )


class Microscope:
    """The controls and the picture; the picture follows."""

    def __init__(self, heads: dict[str, Head], head: str, demos: int, query: str) -> None:
        import ipywidgets  # a page without it still shows the picture

        self.heads = heads
        label, wide = {"description_width": "9em"}, {"width": "min(34em, 95%)"}
        self.head = ipywidgets.Dropdown(options=list(heads), value=head, description="head", style=label, layout=wide)
        self.demos = ipywidgets.IntSlider(demos, 0, len(heads[head].demos), description="demonstrations", style=label)
        queries = list(heads[head].queries)
        self.query = ipywidgets.SelectionSlider(options=queries, value=query, description="query token", style=label)
        self.demos.layout = self.query.layout = wide
        self.reading = ipywidgets.ToggleButtons(options=list(READINGS), description="attention", style=label)
        self.image = ipywidgets.HTML()  # and no ipywidgets.Image, which can't have a text alternative
        self.words = ipywidgets.HTML()
        self.box = ipywidgets.VBox([self.head, self.demos, self.query, self.reading, self.words, self.image])
        self._entering = False
        self._enter()
        self.head.observe(lambda _: self._enter(), "value")
        for control in (self.demos, self.query, self.reading):
            control.observe(lambda _: self.redraw(), "value")

    def _enter(self) -> None:
        """Another head: its own artists, its own choices; all demonstrations, the last query where the old is none."""
        head = self.heads[self.head.value]
        self.figure = Figure(SIZE)
        self.triptych = Triptych(self.figure, head)
        if tuple(head.queries) != tuple(self.query.options) or len(head.demos) != self.demos.max:
            self._entering = True
            self.demos.max = self.demos.value = len(head.demos)
            self.query.options, self.query.value = list(head.queries), list(head.queries)[-1]
            self._entering = False
        self.redraw()

    def redraw(self) -> None:
        """The picture and the words of what is chosen now."""
        if self._entering:
            return
        view = look(self.heads[self.head.value], self.demos.value, self.query.value, self.reading.value)
        self.triptych.draw(view)
        self.image.value = page_bundle(self.figure, "", view.alt(), **FRAME)["text/html"]
        self.words.value = f'<span role="status">In words: {html.escape(view.alt())}</span>'


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
    figure, alt = still(heads[head], demos, query)
    hint = "The sliders move while a kernel runs: run this cell. Without sliders: microscope(heads, demos=2)"
    still_or_live(figure, alt, hint, lambda: Microscope(heads, head, demos, query).box)
