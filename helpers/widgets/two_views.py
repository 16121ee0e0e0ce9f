"""The two-view microscope: one head's attention to demonstrations, and the change of weights that they are."""

import base64
import html
import io
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets
import matplotlib.pyplot as plt
import torch
from IPython import get_ipython
from IPython.display import display
from jaxtyping import Float
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from helpers import dual
from helpers.attention import linear_attention, softmax_attention
from helpers.plots import STYLE
from helpers.support.formats import rounding
from helpers.support.jupyter import in_jupyter

READINGS = {"relaxed": linear_attention, "softmax": softmax_attention}
BLUES, BY_WEIGHTS, BY_ATTENTION = ("#0173b2", "#56b4e9"), "#f2c777", "#0173b2"
SIZE, DPI = (10.8, 3.7), 110
# A still comes before the widget: a page where the widget lives hides it; one without a kernel hides what is left of
# the widget, which would say "model not found".
CELL = ".jp-OutputArea-child"
STYLESHEET = f"""<style>
{CELL}:has(.course-still):has(+ {CELL} .course-live),
{CELL}:has(.course-still) + {CELL} .jp-OutputArea-output:not(:has(*)) {{ display: none }}
</style>"""


@dataclass(frozen=True)
class Head:
    """What one attention head reads of one text, and which of its tokens are demonstrations.

    Raises ValueError where nan or infinity is in it, or where its parts don't fit each other.
    """

    q: Float[Tensor, "n d"]
    k: Float[Tensor, "n d"]
    v: Float[Tensor, "n m"]
    demos: list[range]  # the tokens of each demonstration
    queries: dict[str, int]  # name: position, behind all demonstrations
    tokens: list[str]

    def __post_init__(self) -> None:
        n = len(self.tokens)
        if not len(self.q) == len(self.k) == len(self.v) == n:
            found = ", ".join(f"{len(x)} {name}" for name, x in (("q", self.q), ("k", self.k), ("v", self.v)))
            raise ValueError(f"A head needs one q, k and v for each of its tokens: there are {n} tokens, but {found}.")
        for name, x in (("q", self.q), ("k", self.k), ("v", self.v)):
            if not x.isfinite().all():
                raise ValueError(f"There is nan or infinity in this head's {name}: nothing can be seen through that.")
        end = max((demo.stop for demo in self.demos if len(demo)), default=0)
        if not end:
            raise ValueError("This head has no demonstrations: the microscope shows what demonstrations do to a query.")
        late = [name for name, place in self.queries.items() if end <= place < n]
        if not late or len(late) < len(self.queries):
            wrong = ", ".join(map(repr, self.queries.keys() - set(late))) or "none is given"
            raise ValueError(f"A query comes after all demonstrations, at one of {end} to {n - 1}. Not so: {wrong}.")


def toy_head(seed: int = 0) -> Head:
    """A random head: six demonstrations of one token each, then a query text of three; d = 4, m = 3."""
    rng = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(9, width, generator=rng, dtype=torch.float64) for width in (4, 4, 3))
    tokens = [f"demo {i}" for i in range(1, 7)] + ["query 1", "query 2", "query 3"]
    queries = {name: place for place, name in enumerate(tokens) if place > 5}
    return Head(q, k, v, [range(i, i + 1) for i in range(6)], queries, tokens)


def gpt_head(model: "helpers.gpt.GPT", lines: list[str], layer: int, head: int) -> Head:  # noqa: F821
    """One head of a real GPT, in float64, layer and head from 0; the last line is the query's, all others demonstrate.

    Keys and values are those of the whole text: with fewer demonstrations the head sees less, it does not read anew.
    """
    from helpers import gpt  # transformers takes seconds to load, and a page without a GPT needs none

    layers, heads, _ = model.attention_shape
    if not (0 <= layer < layers and 0 <= head < heads):
        raise ValueError(f"{model.name} has layers 0 to {layers - 1} with heads 0 to {heads - 1}: not {layer}, {head}.")
    text = "\n".join(lines)
    encoded = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    line = [text.count("\n", 0, max(start, end - 1)) for start, end in encoded.offset_mapping]  # of each token
    first = len(model.bos)
    places = [[first + i for i, of in enumerate(line) if of == number] for number in range(len(lines))]
    tokens = [model.tokenizer.decode(i).replace("\n", "↵") for i in model.bos + encoded.input_ids]
    queries = {f"{i}: {tokens[place].strip()}": place for i, place in enumerate(places[-1], 1)}
    demos = [range(of[0], of[-1] + 1) for of in places[:-1] if of]
    read = gpt.heads(model, text)
    return Head(*(x[layer, head].double() for x in (read.q, read.k, read.v)), demos, queries, tokens)


@dataclass(frozen=True)
class View:
    """One state of the microscope: what is computed once and read in two ways."""

    head: Head
    query: str
    count: int
    reading: str
    weights: Float[Tensor, " n"]  # of every token; 0 where it is not in context
    dw: Float[Tensor, "m d"]
    by_weights: Float[Tensor, " m"]  # ΔW q
    by_attention: Float[Tensor, " m"]  # what attention adds to what it gives without demonstrations

    @property
    def difference(self) -> float:
        """‖ΔW q − what attention adds‖, relative to the former; nan where there is nothing to compare."""
        return ((self.by_attention - self.by_weights).norm() / self.by_weights.norm()).item()

    @property
    def cosine(self) -> float:
        return torch.cosine_similarity(self.by_weights, self.by_attention, dim=0).item()

    def residual(self) -> str:
        """How far the two views are apart, in words."""
        if not self.count:
            return "no demonstrations: ΔW = 0, and attention adds nothing"
        if self.reading == "relaxed":
            return f"relative difference {rounding(torch.tensor(self.difference, dtype=torch.float64))}"
        cosine = f"{self.cosine:.2f}".replace("-", "−")
        return f"cosine {cosine}, relative difference {self.difference:.2f} at unit length"

    def titles(self) -> tuple[str, str, str]:
        """What is seen in each panel."""
        here = [i for demo in self.head.demos[: self.count] for i in demo]
        negative = int((self.weights[here] < 0).sum())
        share = self.weights[here].sum().item()
        if self.reading == "relaxed":
            attention = f"k·q is negative on {negative} of {len(here)} tokens"
            effect = "ΔW q is what relaxed attention adds"
        else:
            attention = f"Softmax gives demonstrations {share:.0%} of its weight"
            near = "nearly ΔW q’s" if self.cosine > 0.9 else "another"
            effect = f"Softmax adds {near} direction" + (" than ΔW q" if near == "another" else "")
        if not self.count:
            attention, effect = "No demonstrations, no attention to them", "Nothing is added"
        of = f"{self.count} of {len(self.head.demos)} demonstrations"
        return attention, f"ΔW = Σ v ⊗ k over {of}", effect

    def alt(self) -> str:
        """The whole picture in a sentence."""
        attention, _, effect = self.titles()
        of = f"{self.count} of {len(self.head.demos)} demonstrations"
        state = f"{self.reading.capitalize()} attention, {of}, query “{self.query}”"
        return f"{state}: {attention}; {effect}: {self.residual()}."


def look(head: Head, count: int, query: str, reading: str) -> View:
    """The first `count` demonstrations and all that is in no demonstration, up to the query; the rest is as if absent.

    For softmax, whose scale is not that of ΔW, both effects are brought to length 1.
    """
    attend, last = READINGS[reading], head.queries[query]
    among = {i for demo in head.demos for i in demo}
    demos = torch.tensor([i for demo in head.demos[:count] for i in demo], dtype=torch.long)
    own = torch.tensor([i for i in range(last + 1) if i not in among])
    seen = torch.cat([demos, own]).sort().values
    q, k, v = (x.double() for x in (head.q, head.k, head.v))
    units = torch.eye(len(seen), dtype=torch.float64)  # an output over unit vectors is its weights
    weights = torch.zeros(len(q), dtype=torch.float64).index_put((seen,), attend(q[seen], k[seen], units)[-1])
    added = attend(q[seen], k[seen], v[seen])[-1] - attend(q[own], k[own], v[own])[-1]
    dw = dual.weight_update(v[demos], k[demos])
    effects = dw @ q[last], added
    if reading == "softmax":
        effects = (torch.nn.functional.normalize(effect, dim=0) for effect in effects)
    return View(head, query, count, reading, weights, dw, *effects)


class Triptych:
    """Attention, ΔW, effect: artists for one head, made once and moved by `draw`."""

    def __init__(self, figure: Figure | SubFigure, head: Head) -> None:
        self.places = [i for demo in head.demos for i in demo]
        n, m, d = len(self.places), head.v.shape[1], head.q.shape[1]
        colours = [BLUES[number % 2] for number, demo in enumerate(head.demos) for _ in demo]
        with plt.rc_context(STYLE | {"axes.titlesize": 10, "axes.labelsize": 9}):
            boxes = (0.075, 0.25), (0.4, 0.18), (0.588, 0.01), (0.72, 0.27)  # left edges and widths
            self.attention, self.matrix, scale, self.effect = (
                figure.add_axes((left, 0.27, width, 0.51)) for left, width in boxes
            )
        self.bars = self.attention.bar(range(n), [0] * n, color=colours)
        starts = [sum(map(len, head.demos[:i])) for i in range(len(head.demos))]
        labels = [head.tokens[i].strip() or "␣" for i in self.places]
        if n > 32:
            self.attention.set_xticks(starts, range(1, len(starts) + 1), fontsize=8)
            self.attention.set_xlabel("demonstration (each starts at its number)")
        else:
            self.attention.set_xticks(range(n), [textwrap.shorten(x, 11) or x[:11] for x in labels], rotation=90)
            self.attention.tick_params(axis="x", labelsize=8 if n < 25 else 6.5)
        self.attention.set_xlim(-0.6, n - 0.4)
        across = self.attention.get_xaxis_transform()
        self.absent = plt.Rectangle((n, 0), 0, 1, color="#e3e3e3", lw=0, zorder=0, transform=across)
        self.attention.add_patch(self.absent)
        self.ends = [*starts, n]
        self.image = self.matrix.imshow([[0.0] * d] * m, cmap="cividis", aspect="auto", interpolation="nearest")
        sums = (look(head, count, next(iter(head.queries)), "relaxed").dw for count in range(1, len(head.demos) + 1))
        most = max(dw.abs().max().item() for dw in sums) or 1
        self.image.set_clim(-most, most)  # one scale for any number of demonstrations
        bar = figure.colorbar(self.image, cax=scale, ticks=[-most, 0, most])
        bar.ax.set_yticklabels([f"−{most:.3g}", "0", f"{most:.3g}"], fontsize=8)
        bar.outline.set_visible(False)
        self.matrix.set(xlabel="key dimension", ylabel="value dimension")
        for axis, size in ((self.matrix.xaxis, d), (self.matrix.yaxis, m), (self.effect.xaxis, m)):
            axis.set_ticks(range(size) if size < 12 else range(0, size, 16))
        self.wide, self.narrow = (
            self.effect.bar(range(m), [0] * m, width, color=colour, label=label, snap=False)
            for width, colour, label in ((0.92, BY_WEIGHTS, "ΔW q"), (0.4, BY_ATTENTION, "what attention adds"))
        )
        self.effect.set_xlim(-0.6, m - 0.4)
        self.effect.set_xlabel("value dimension")
        self.effect.legend(frameon=False, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.28), fontsize=9)
        for axes in (self.attention, self.effect):
            axes.axhline(0, color="black", lw=0.8)
        self.heading = figure.text(0.5, 0.95, "", ha="center", va="center", fontsize=11, weight="bold")

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
    def _heights(axes: plt.Axes, groups: list) -> None:
        every = [0.0]
        for bars, heights in groups:
            every += heights
            for bar, height in zip(bars, heights, strict=True):
                bar.set_height(height)
        room = 0.06 * (max(every) - min(every)) or 1
        axes.set_ylim(min(every) - room * (min(every) < 0), max(every) + room)


def png(figure: Figure) -> bytes:
    """A figure as Agg draws it, on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def picture(image: bytes, alt: str, width: int = round(SIZE[0] * 96)) -> str:
    """A PNG as html with its text alternative; decoded at once, so that a redraw does not flicker."""
    return (
        f'<img alt="{html.escape(alt)}" width="{width}" decoding="sync" style="max-width: 100%; '
        f'height: auto" src="data:image/png;base64,{base64.b64encode(image).decode()}">'
    )


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
        self.image.value = picture(png(self.figure), view.alt())
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


def still_or_live(figure: Figure, alt: str, hint: str, live: Callable[[], ipywidgets.DOMWidget]) -> None:
    """A picture, and in Jupyter a widget in its place; without a kernel the picture stays."""
    if get_ipython() is None:
        print(f"{alt}\n{hint}")
        return
    image = png(figure)
    page = f'{STYLESHEET}<div class="course-still">{picture(image, alt)}<br><small>{hint}</small></div>'
    display({"text/html": page, "image/png": base64.b64encode(image).decode(), "text/plain": alt}, raw=True)
    if in_jupyter():
        box = live()
        box.add_class("course-live")
        bundle = box._repr_mimebundle_() | {"text/html": "<!-- the picture is above -->", "text/plain": ""}
        display(bundle, raw=True)
