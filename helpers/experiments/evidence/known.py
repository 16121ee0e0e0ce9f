"""Known answers: the contrasts of the plan on three models of which we know whether they descend.

The world is a linear task: a teacher W*, weights W₀ that know it in part, 12 draws of demonstrations y_i = W* x_i, and
the same queries for all draws. Finetuning is the same for every model: one gradient step (eq. 2.2) on a draw's
demonstrations from W₀. Without demonstrations every model answers W₀x. They differ in what they do with them:

- *descender*: the layer of linear attention that is this very step (eq. 3.6), at the rate that it carries;
- *nearest*: a softmax head whose scores are a steep similarity of inputs: it copies the nearest demonstration's target;
- *recency*: a softmax head that looks at positions only: it copies the last targets, whatever the query is.

Inputs have no common part, or one as long as the rest: then x_i·x is positive for nearly every pair, and every
demonstration moves the finetuned output at every query.

A trial is three worlds together, as the plan has three primary tasks. Written before the first run: the rung that each
claim should reach in most cases (`EXPECTED`; the first look, at single worlds, changed none), and why. The descender:
all three, its two outputs are equal. Nearest: P2 all three, for it depends on its demonstrations where finetuning does,
near the query, and is no descender; P1 only two, for a sign is little information and twelve draws are few. Recency,
no common part: none, the sign of x_i·x averages out. Recency, common part: rung 1 of both, for the last target holds
the common part of all targets, which finetuning learns too; not rung 2, for shuffled targets have the same common part;
the contrast of P2 alone, passed over rung 2, above 0.

Came out otherwise: P1 of nearest scatters over the rungs from trial to trial, and P1 of recency, common part, stays at
none in most. P2 of recency, common part, passes all three rungs in two trials of eight; over all worlds it is a little
above shuffled targets, so more draws would pass it more often. What follows: P2 above 0 says that a prompt depends on
its demonstrations partly as a step does, not that it is one: nearest, and recency where inputs have a common part,
are above the plan's smallest effect of interest. And a shuffled control nearly as high as the own one speaks against
nothing: it is .97 for a true descender whose inputs have a common part.

P3 has no meaning here: a query is one token, which attends to demonstrations only. P4 as planned is τ(finetuned) −
τ(not finetuned): the step moves the readout, not its inputs, so the exact form's weights x_i·x are the same before and
after it, and the contrast is 0 for every model, the descender too. Beside it stands τ with the demonstrations' order
permuted: expected 1 against 0 for the descender, in between for nearest, 0 for recency.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from helpers import controls, dual, metrics
from helpers.experiments.evidence.contrasts import interval, matching_pvalue, reached, recovered
from helpers.experiments.evidence.plan import KENDALL_QUERIES, MEASURABLE
from helpers.experiments.evidence.worlds import DRAWS, MODELS, N, Outputs, Scores, Updates, World, random_world
from helpers.experiments.small import SMALL
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, minus, with_interval

WORLDS, COMMON = range(3 if SMALL else 24), (0, 1)  # seeds; length of the inputs' common part, the rest being 1
RUNGS = ("random", "shuffled", "other draws")
TOGETHER = 3  # worlds, as the plan has three primary tasks
STRICTEST = 0.05 / 4  # the first step of Holm over the plan's four p-values
EXPECTED = {  # rungs of P1 and P2 in most trials, by model and common part
    ("descender", 0): (3, 3),
    ("descender", 1): (3, 3),
    ("nearest", 0): (2, 3),
    ("nearest", 1): (2, 3),
    ("recency", 0): (0, 0),
    ("recency", 1): (1, 1),
}


# --- What is measured


def cells() -> Iterator[dict]:
    for kind in MODELS:
        for common in COMMON:
            yield from ({"kind": kind, "common": common, "seed": seed} for seed in WORLDS)


def through_the_contrasts(kind: str, common: int, seed: int) -> dict:
    """P1, P2 and P4 of one model in one world, each beside its controls."""
    world = random_world(common, seed)
    few, scores = MODELS[kind](world)
    updates = finetunings(world, seed)
    tuned = {name: world.zero_shot + world.x @ update.mT for name, update in updates.items()}
    ways = {"zero-shot": world.zero_shot, "in context": few} | tuned
    return {
        "lr": round(world.lr, 5),
        "right": {name: round(right(world, out).float().mean().item(), 4) for name, out in ways.items()},
        "P1": recoveries(world, few, tuned),
        "P2": output_similarities(world, few, tuned),
        "P4": orders(world, scores, seed),
    }


def finetunings(world: World, seed: int) -> dict[str, Updates]:
    """The step on every draw, noise as long as it, and the step on shuffled targets."""
    rng = torch.Generator().manual_seed(seed + 10**4)  # not the world's own numbers over again
    own = world.step(world.targets, world.lr)
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


def output_similarities(world: World, few: Outputs, tuned: dict[str, Outputs]) -> dict:
    """P2: cosines of demonstration residuals; for the rungs, of updates without their part along zero-shot's."""
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
    """As nested lists, to four digits; what is undefined is null."""
    found = np.round(np.asarray(values, dtype=float), 4)
    return np.where(np.isnan(found), None, found).tolist()


DECIDES = (
    *("attention", "dual", "regression", "experiments.evidence.worlds"),
    *(finetunings, right, recoveries, recovered, output_similarities, orders, exact_weights, rounded),
    *(controls.demonstration_residuals, controls.draw_similarities, controls.split_radial),
    *(controls.kendall_within, controls.permuted_within, metrics.cosine, metrics.kendall_taus),
)
ABOUT = "a descender and two copiers, one layer each, drawn by the seed"
KNOWN = Study("evidence_known", cells, through_the_contrasts, DECIDES, planned=True, about=ABOUT)
STUDIES = (KNOWN,)


# --- What the lines say


@dataclass(frozen=True)
class Claim:
    """A claim in some worlds: own draw against others, and at the same draw finetuning beside the controls."""

    trial: Int[np.ndarray, " worlds"]
    matrices: Float[np.ndarray, "worlds draws draws"]
    own: Float[np.ndarray, "worlds draws"]
    random: Float[np.ndarray, "worlds draws"]
    shuffled: Float[np.ndarray, "worlds draws"]

    def effects(self) -> Float[np.ndarray, " worlds"]:
        """Own draw minus other draws, mean over the draws."""
        return np.array([np.nanmean(controls.own_minus_other(matrix)) for matrix in self.matrices])

    def rungs(self) -> tuple[bool, bool, bool]:
        """Above random updates, above shuffled targets, own draw above other draws: what the worlds say together."""
        differences = (np.nanmean(self.own - control, axis=0) for control in (self.random, self.shuffled))
        return (*(interval(found)[1] > 0 for found in differences), matching_pvalue(self.matrices) <= STRICTEST)

    def trials(self) -> Iterator["Claim"]:
        """The worlds of one trial after the other."""
        for trial in np.unique(self.trial):
            yield Claim(**{name: values[self.trial == trial] for name, values in vars(self).items()})


def claim(name: str, kind: str, common: int) -> Claim:
    """What is recorded of P1 or P2; a world with too few events for P1 is left out, as in the plan."""
    found = KNOWN.rows(kind=kind, common=common)
    if name == "P1":
        found = [row for row in found if np.all(np.array(row["result"]["P1"]["events"]) >= MEASURABLE)]
    parts = [row["result"][name] for row in found]
    matrices, random, shuffled = (np.array([p[w] for p in parts], float) for w in ("matrix", "random", "shuffled"))
    own = matrices.diagonal(axis1=1, axis2=2) if name == "P1" else np.array([part["finetuned"] for part in parts])
    return Claim(np.array([row["cell"]["seed"] // TOGETHER for row in found]), matrices, own, random, shuffled)


def verdicts() -> dict[tuple[str, int, str], tuple[int, Counter]]:
    """Of every model, common part and claim: the rung expected, and in how many trials each rung was reached."""
    found = {}
    for (kind, common), expected in EXPECTED.items():
        for name, rung in zip(("P1", "P2"), expected, strict=True):
            trials = claim(name, kind, common).trials()
            found[kind, common, name] = rung, Counter(reached(trial.rungs()) for trial in trials)
    return found


def table() -> str:
    """P1 and P2: means over worlds, in how many trials each rung holds, the rung expected and those reached."""
    rows = []
    for (kind, common, name), (expected, counts) in verdicts().items():
        found = claim(name, kind, common)
        held = zip(*(trial.rungs() for trial in found.trials()), strict=True)
        means = {way: np.nanmean(getattr(found, way)) for way in ("own", "random", "shuffled")}
        rows.append(
            {"model": kind, "common part": "yes" if common else "no", "claim": name}
            | {"own − other draws": with_interval(interval(found.effects()), 3, "+")}
            | {way: minus(f"{mean:+.2f}") for way, mean in means.items()}
            | {f"above {way}": f"{sum(each)}/{len(each)}" for way, each in zip(RUNGS, held, strict=True)}
            | {"rung expected": expected, "reached": ", ".join(f"{rung} ({n})" for rung, n in counts.most_common())}
        )
    return markdown(pd.DataFrame(rows))


def kendall_table() -> str:
    """P4: τ of the prompt's attention with the exact form's, after the step, without it, and in a permuted order."""
    rows = []
    for kind, common in EXPECTED:
        found = [row["result"]["P4"] for row in KNOWN.rows(kind=kind, common=common)]
        taus = {name: np.mean([each[name] for each in found], axis=1) for name in found[0]}
        rows.append(
            {"model": kind, "common part": "yes" if common else "no"}
            | {name: with_interval(interval(values), 3, "+") for name, values in taus.items()}
        )
    return markdown(pd.DataFrame(rows))
