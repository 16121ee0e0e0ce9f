"""Known answers: the contrasts of the plan on three models of which we know whether they descend.

The world is a linear task: a teacher W*, weights W₀ that know it in part, 12 draws of demonstrations y_i = W* x_i, and
the same queries for all draws. Finetuning is the same for every model: one gradient step (eq. 2.2) on a draw's
demonstrations from W₀. Without demonstrations every model answers W₀x. They differ in what they do with them:

- *descender*: the layer of linear attention that is this very step (eq. 3.4), at the rate that it carries;
- *nearest*: a softmax head whose scores are a steep similarity of inputs: it copies the nearest demonstration's target;
- *recency*: a softmax head that looks at positions only: it copies the last targets, whatever the query is.

Inputs have no common part, or one as long as the rest, as those of a GPT's layers have: then x_i·x is positive for
nearly every pair, and every demonstration moves the finetuned output at every query.

Written before the first run, the rung that each claim should reach in most worlds (`EXPECTED`), and why. The descender:
all three, its two outputs are equal. Nearest: P2 all three, for it depends on its demonstrations where finetuning does,
near the query, and is no descender; P1 only two, for a sign is little information and twelve draws are few. Recency,
no common part: none, the sign of x_i·x averages out. Recency, common part: rung 1 of both, for the last target holds
the common part of all targets, which finetuning learns too; not rung 2, for shuffled targets have the same common part;
the contrast of P2 alone, passed over rung 2, above 0.

P3 has no meaning here: a query is one token, which attends to demonstrations only. P4 as planned is τ(finetuned) −
τ(not finetuned): the step moves the readout, not its inputs, so the exact form's weights x_i·x are the same before and
after it, and the contrast is 0 for every model, the descender too. Beside it stands τ with the demonstrations' order
permuted: expected 1 against 0 for the descender, in between for nearest, 0 for recency.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import and_

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

from helpers import attention, controls, dual, metrics, regression
from helpers.experiments.evidence.plan import KENDALL_QUERIES
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, minus, with_interval

DRAWS, N, D, M, QUERIES = 12, 16, 10, 8, 400  # draws, demonstrations a draw, width of inputs and targets, queries
STEEP, FIRST = 20.0, 100.0  # of the nearest head; what puts every demonstration before the query itself
WORLDS, COMMON = range(12), (0, 1)  # seeds; length of the inputs' common part, the rest being 1
STRICTEST = 0.05 / 4  # the first step of Holm over the plan's four p-values
EXPECTED = {  # rungs of P1 and P2 in most worlds, by model and common part
    ("descender", 0): (3, 3),
    ("descender", 1): (3, 3),
    ("nearest", 0): (2, 3),
    ("nearest", 1): (2, 3),
    ("recency", 0): (0, 0),
    ("recency", 1): (1, 1),
}
Outputs = Float[Tensor, "draws k m"]
Scores = Float[Tensor, "draws k n"]
Updates = Float[Tensor, "draws m d"]


# --- The world


@dataclass(frozen=True)
class World:
    """One task: draws of demonstrations, the queries, and the weights and the rate that every model starts with."""

    w0: Float[Tensor, "draws m d"]  # the same for every draw
    inputs: Float[Tensor, "draws n d"]
    targets: Float[Tensor, "draws n m"]
    x: Float[Tensor, "k d"]
    y: Float[Tensor, "k m"]
    lr: float

    @property
    def zero_shot(self) -> Outputs:
        return self.x @ self.w0.mT

    def step(self, targets: Float[Tensor, "draws n m"], lr: float) -> Updates:
        """What one gradient step on the demonstrations, with these targets, does to the weights."""
        return dual.gradient_step(self.w0, self.inputs, targets, lr)[1] - self.w0


def random_world(common: float, seed: int, queries: int = QUERIES) -> World:
    """A teacher, weights correlated .71 with it, and inputs around a common part of length √d · common."""
    rng = torch.Generator().manual_seed(seed)
    teacher, other = torch.randn(2, M, D, generator=rng)
    centre = torch.randn(D, generator=rng)
    centre = centre * (common * D**0.5 / centre.norm())
    inputs = centre + torch.randn(DRAWS, N, D, generator=rng)
    x = centre + torch.randn(queries, D, generator=rng)
    w0 = ((teacher + other) / 2**0.5).expand(DRAWS, M, D)
    return World(w0, inputs, inputs @ teacher.T, x, x @ teacher.T, best_rate(common))


def best_rate(common: float, problems: int = 20_000) -> float:
    """(eq. 3.5): the rate of the best single step on other tasks with such inputs: what the layer would learn."""
    rng = torch.Generator().manual_seed(10**6)
    inputs, w = torch.randn(problems, N + 1, D, generator=rng), torch.randn(problems, D, 1, generator=rng)
    inputs[..., 0] += common * D**0.5
    y = (inputs @ w)[..., 0]
    return regression.best_step_size(inputs[:, :-1], y[:, :-1], inputs[:, -1], y[:, -1])


# --- The three models in context: their outputs, and their attention to the demonstrations before any softmax


def descender(world: World) -> tuple[Outputs, Scores]:
    """(eq. 3.4): the layer of linear attention that is a gradient step."""
    layer = regression.gd_as_attention(world.w0[0], world.lr)
    demos = torch.cat([world.inputs, world.targets], -1)
    queries = torch.cat([world.x.expand(DRAWS, -1, -1), -world.zero_shot], -1)
    scores = queries @ layer["w_q"].mT @ (demos @ layer["w_k"].mT).mT
    return -regression.attend(layer, demos, queries)[..., D:], scores


def nearest(world: World) -> tuple[Outputs, Scores]:
    """Scores fall with the squared distance of inputs: x_i·x − ½‖x_i‖² is −½‖x − x_i‖² and a constant of the query."""
    half = world.inputs.square().sum(-1, keepdim=True) / 2
    keys = torch.cat([world.inputs, -half, torch.ones_like(half)], -1)
    one = torch.ones(len(world.x), 1)
    return _head(world, STEEP * torch.cat([world.x, one, FIRST * one], -1), keys)


def recency(world: World) -> tuple[Outputs, Scores]:
    """Scores rise by 1 from demonstration to demonstration: the last target counts for .63, the one before for .23."""
    places = torch.arange(N, dtype=torch.float32)
    keys = torch.stack([places, torch.ones(N)], -1).expand(DRAWS, N, 2)
    return _head(world, torch.tensor([[1.0, FIRST]]).expand(len(world.x), 2), keys)


def _head(
    world: World, looks: Float[Tensor, "k features"], keys: Float[Tensor, "draws n features"]
) -> tuple[Outputs, Scores]:
    """(eq. 1.1): attention of every query to the demonstrations' targets, and to itself: key 0, value W₀x."""
    scale = looks.shape[-1] ** 0.5  # attention divides by it
    shape = DRAWS, len(looks), -1, -1
    k = torch.cat([keys[:, None].expand(shape), torch.zeros(DRAWS, len(looks), 1, keys.shape[-1])], 2)
    v = torch.cat([world.targets[:, None].expand(shape), world.zero_shot[:, :, None]], 2)
    q = torch.zeros_like(k)
    q[:, :, -1] = looks * scale
    return attention.softmax_attention(q, k, v)[:, :, -1], looks @ keys.mT


MODELS = {"descender": descender, "nearest": nearest, "recency": recency}


# --- What is measured


def cells() -> Iterator[dict]:
    for kind in MODELS:
        for common in COMMON:
            yield from ({"kind": kind, "common": common, "seed": seed} for seed in WORLDS)


def through_the_contrasts(kind: str, common: float, seed: int) -> dict:
    """P1, P2 and P4 of one model in one world, each beside its controls."""
    world = random_world(common, seed)
    few, scores = MODELS[kind](world)
    updates = finetunings(world, seed)
    tuned = {name: world.zero_shot + world.x @ update.mT for name, update in updates.items()}
    return {
        "lr": round(world.lr, 5),
        "right": {
            name: rounded(right(world, out).float().mean(1)) for name, out in ({"in context": few} | tuned).items()
        },
        "P1": recoveries(world, few, tuned),
        "P2": output_similarities(world, few, tuned),
        "P4": orders(world, scores, seed),
    }


def finetunings(world: World, seed: int) -> dict[str, Updates]:
    """The step on every draw, noise as long as it, and the step on shuffled targets."""
    rng, own = torch.Generator().manual_seed(seed), world.step(world.targets, world.lr)
    noise = torch.randn(own.shape, generator=rng)
    noise = noise * (own.flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1))[:, None, None]
    orders = torch.stack([torch.randperm(N, generator=rng) for _ in range(DRAWS)])
    dealt = world.targets.gather(1, orders[..., None].expand_as(world.targets))
    return {"finetuned": own, "random": noise, "shuffled": world.step(dealt, world.lr)}


def right(world: World, outputs: Outputs) -> Bool[Tensor, "draws k"]:
    """The first output has the sign of its target: two labels, and no bias removed."""
    return (outputs[..., 0] > 0) == (world.y[:, 0] > 0)


def recoveries(world: World, few: Outputs, tuned: dict[str, Outputs]) -> dict:
    """P1: S[s, t] among the queries that W₀ has wrong; for the controls S[s, s]."""
    margins = world.zero_shot[0, :, 0] * world.y[:, 0].sign()
    wrong = (margins < 0).numpy()
    marks = {name: right(world, out).numpy()[:, wrong] for name, out in tuned.items()}
    ours, margins = right(world, few).numpy()[:, wrong], margins.numpy()[wrong]
    fixed = marks["finetuned"]
    return {
        "matrix": rounded([[recovered(own, other, margins) for other in fixed] for own in ours]),
        "events": [int(fixed.sum()), int(fixed.any(0).sum())],  # draw and query, distinct queries
    } | {
        name: rounded([recovered(a, b, margins) for a, b in zip(ours, marks[name], strict=True)])
        for name in ("random", "shuffled")
    }


def recovered(few: Bool[np.ndarray, " n"], tuned: Bool[np.ndarray, " n"], margins: Float[np.ndarray, " n"]) -> float:
    """P(few right | tuned right) − P(few right | tuned wrong), within thirds of the margin, by Mantel and Haenszel."""
    differences, weights = [], []
    for third in np.array_split(np.argsort(margins), 3):
        yes, no = few[third][tuned[third]], few[third][~tuned[third]]
        if len(yes) and len(no):
            differences.append(yes.mean() - no.mean())
            weights.append(len(yes) * len(no) / len(third))
    return float(np.average(differences, weights=weights)) if weights else float("nan")


def output_similarities(world: World, few: Outputs, tuned: dict[str, Outputs]) -> dict:
    """P2: cosines of demonstration residuals; for the rungs, of updates without their part along the zero-shot output."""
    residuals = [controls.demonstration_residuals(out)[:, :, None] for out in (few, tuned["finetuned"])]
    ours, *theirs = (controls.split_radial(out - world.zero_shot, world.zero_shot)[1] for out in (few, *tuned.values()))
    cosines = (metrics.cosine(ours, other).mean(1) for other in theirs)
    return {
        "matrix": rounded(controls.draw_similarities(*residuals)[..., 0]),
        **dict(zip(tuned, map(rounded, cosines), strict=True)),
    }


def orders(world: World, scores: Scores, seed: int) -> dict:
    """P4: Kendall's τ of attention to the demonstrations with the exact form's: of the step, of none, of others."""
    types = ["demonstration"] * N
    weights = {name: exact_weights(world, lr) for name, lr in (("finetuned", world.lr), ("not finetuned", 0.0))}
    weights["permuted"] = weights["finetuned"][..., controls.permuted_within(types, seed)]
    own = scores[:, :KENDALL_QUERIES].flatten(0, 1)[:, None]
    return {
        name: rounded(controls.kendall_within(own, other.flatten(0, 1)[:, None], types).reshape(DRAWS, -1).mean(1))
        for name, other in weights.items()
    }


def exact_weights(world: World, lr: float) -> Scores:
    """(eq. 2.3): what the step's update makes a query attend to: x_i·x for every training example i."""
    _, inputs = dual.unrolled_training(world.w0, world.inputs, world.targets, lr, 1)
    return world.x[:KENDALL_QUERIES] @ inputs.mT


def rounded(values: Tensor | Sequence) -> list:
    """As nested lists, to four digits; the − of a zero is left out."""
    return (np.round(np.asarray(values, dtype=float), 4) + 0.0).tolist()


KNOWN = Study(
    "evidence_known",
    cells,
    through_the_contrasts,
    ("attention", "controls", "dual", "metrics", "regression", "experiments.evidence.known"),
    planned=True,
    about="a descender and two copiers, one layer each, drawn by the seed",
)
STUDIES = (KNOWN,)


# --- What the lines say


def rungs(found: dict, claim: str) -> tuple[bool, bool, bool]:
    """In one world: above random updates, above shuffled targets, own draw above other draws."""
    matrix = np.array(found[claim]["matrix"])
    own = np.array(found[claim].get("finetuned", matrix.diagonal()))
    above = (interval(own - found[claim][name])[1] > 0 for name in ("random", "shuffled"))
    return (*above, controls.matching_pvalue(matrix) <= STRICTEST)


def reached(held: tuple[bool, ...]) -> int:
    """The highest rung below which none is missing."""
    return sum(accumulate(held, and_))


def interval(values: Float[np.ndarray, " n"]) -> tuple[float, float, float]:
    """The mean, and its two-sided 95 % t interval."""
    mean, (low, high) = np.mean(values), stats.ttest_1samp(values, 0).confidence_interval()
    return float(mean), float(low), float(high)


def table() -> str:
    """P1 and P2: means over worlds, in how many each rung holds, and the rung expected beside the one that most reach."""
    rows = []
    for (kind, common), expected in EXPECTED.items():
        results = [row["result"] for row in KNOWN.rows(kind=kind, common=common)]
        for claim, rung in zip(("P1", "P2"), expected, strict=True):
            held = [rungs(result, claim) for result in results]
            effects = [controls.own_minus_other(np.array(result[claim]["matrix"])).mean() for result in results]
            rows.append(
                {"model": kind, "common part": "yes" if common else "no", "claim": claim}
                | {"own − other draws": with_interval(interval(np.array(effects)), 3, "+")}
                | {name: minus(f"{_mean(results, claim, name):+.2f}") for name in ("own", "random", "shuffled")}
                | {f"rung {i + 1} holds": f"{sum(way)}/{len(way)}" for i, way in enumerate(zip(*held, strict=True))}
                | {"expected": rung, "reached": int(np.median(list(map(reached, held))))}
            )
    return markdown(pd.DataFrame(rows))


def _mean(results: list[dict], claim: str, name: str) -> float:
    """Of a claim's measurement at the same draw, over draws and worlds; `own` is the finetuning itself."""
    found = (result[claim] for result in results)
    if name != "own":
        return float(np.mean([each[name] for each in found]))
    return float(np.mean([each.get("finetuned", np.diagonal(each["matrix"])) for each in found]))


def kendall_table() -> str:
    """P4: τ of the prompt's attention with the exact form's, after the step, without it, and in a permuted order."""
    rows = []
    for kind, common in EXPECTED:
        found = [row["result"]["P4"] for row in KNOWN.rows(kind=kind, common=common)]
        taus = {name: np.mean([each[name] for each in found], axis=1) for name in found[0]}
        rows.append(
            {"model": kind, "common part": "yes" if common else "no"}
            | {name: with_interval(interval(values), 3, "+") for name, values in taus.items() if np.ptp(values)}
        )
    return markdown(pd.DataFrame(rows))
