"""One attention head and what demonstrations do to its query: as attention, and as a change of weights."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from helpers import dual
from helpers.attention import linear_attention, softmax_attention
from helpers.support.formats import rounding

READINGS = {"relaxed": linear_attention, "softmax": softmax_attention}


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
    names = [*(f"demo {i}" for i in range(1, 7)), "query 1", "query 2", "query 3"]
    tokens = [" " * (place > 0) + name for place, name in enumerate(names)]  # like a GPT's, with the space before
    queries = {name: place for place, name in enumerate(names) if place > 5}
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
    line_of = [text.count("\n", 0, max(start, end - 1)) for start, end in encoded.offset_mapping]  # by token
    first = len(model.bos)
    places = [[first + i for i, line in enumerate(line_of) if line == number] for number in range(len(lines))]
    tokens = [model.tokenizer.decode(i).replace("\n", "↵") for i in model.bos + encoded.input_ids]
    queries = {f"{i}: {tokens[place].strip()}": place for i, place in enumerate(places[-1], 1)}
    demos = [range(line[0], line[-1] + 1) for line in places[:-1] if line]
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
            apart = rounding(torch.tensor(self.difference, dtype=torch.float64))
            return f"the same to rounding ({apart})"
        near = "close, not the same" if self.cosine > 0.9 else "not the same"
        cosine = f"cosine {self.cosine:.2f}".replace("-", "−")
        return f"{cosine}, {near if self.cosine >= 0 else 'the other way'}"

    def attention(self) -> str:
        """What the query's attention does with the demonstrations, in words."""
        here = [i for demo in self.head.demos[: self.count] for i in demo]
        if not here:
            return "no demonstration is in context"
        most = max(here, key=lambda i: abs(self.weights[i].item()))
        top = f"most at “{self.head.tokens[most].strip()}”: {short(self.weights[most].item())}"
        if self.reading == "relaxed":
            return f"k·q is negative on {int((self.weights[here] < 0).sum())} of {len(here)} tokens, {top}"
        return f"softmax gives demonstrations {self.weights[here].sum().item():.0%} of its weight, {top}"

    def shown(self) -> str:
        """How many of the demonstrations are in context."""
        return f"{self.count} of {len(self.head.demos)} demonstrations"

    def title(self) -> str:
        """The state in words."""
        return f"{self.reading.capitalize()} attention, {self.shown()}, query “{self.query}”"

    def alt(self) -> str:
        """The whole page in a sentence."""
        return f"{self.title()}: {self.attention()}. ΔW q against what attention adds: {self.residual()}."


def short(number: float | int) -> str:
    """A number in two digits or, where it is large, whole; with a true minus."""
    return (f"{number:.0f}" if abs(number) >= 10 else f"{number:.2g}").replace("-", "−")


def look(head: Head, count: int, query: str, reading: str) -> View:
    """The first `count` demonstrations and all that is in no demonstration, up to the query; the rest is as if absent.

    For softmax, whose scale is not that of ΔW, both effects are brought to length 1.
    """
    attend, last = READINGS[reading], head.queries[query]
    demonstrated = {i for demo in head.demos for i in demo}
    demos = torch.tensor([i for demo in head.demos[:count] for i in demo], dtype=torch.long)
    own = torch.tensor([i for i in range(last + 1) if i not in demonstrated])
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
