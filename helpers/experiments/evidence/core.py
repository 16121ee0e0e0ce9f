"""Block 2 of the plan: every way of predicting on every draw, and how alike the draws' residuals are."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from helpers import controls, icl, metrics
from helpers.experiments.accuracy import shots
from helpers.experiments.evidence import plan, rates, ways
from helpers.experiments.evidence.ways import Draw, Layers
from helpers.experiments.inside import NO_RATE, per_layer
from helpers.experiments.small import SIZE
from helpers.experiments.study import Study
from helpers.gpt import GPT
from helpers.icl import Predictions
from helpers.support import CourseError, cache
from helpers.support.provenance import code_hash

MATRICES = ("finetuned", "matched", "shuffled", "mlp")  # ways whose residuals are compared with the prompt's
CODE = ("icl", "gpt", "tasks", "support.examples", "metrics", "controls", "experiments.evidence.ways", shots, plan.draw)


def known_rates() -> dict[str, dict]:
    """Both rates of every task for which block 1 knows them, in the plan's order."""
    found = {}
    for task in plan.TASKS:
        with suppress(CourseError):
            found[task] = {"lr": rates.stable_rate(task), "matched": rates.matched_rate(task)}
    return found


def cells() -> Iterator[dict]:
    """Every draw of the tasks whose rates are known, task by task, primary tasks first."""
    for task, found in known_rates().items():
        yield from ({"task": task, "seed": seed} | found for seed in plan.SEEDS)


def measure(model: GPT, task: str, seed: int, lr: float, matched: float) -> dict:
    """Answers and scores of every way; what each did inside; Kendall's τ with its nulls."""
    with cache.bypassed():
        draw = Draw.of(model, plan.draw(task, seed))
        found = ways.compared(draw, lr, matched, seed)
        flipped = controls.flipped_labels(draw.task)
        answers = {"zero_shot": draw.zsl, "in_context": draw.few} | found
        answers |= {"in_context flipped": icl.in_context(model, flipped)}
        answers |= {"finetuned flipped": ways.finetuned(model, flipped, lr)}
        layers = {way: ways.updates(draw, tuned) for way, tuned in found.items() if tuned}
        if found["finetuned"]:
            layers["directions"] = ways.directions(draw, found["finetuned"], seed)
        layers |= {"in_context": {"rho": ways.updates(draw, draw.few)["rho"]}}
        for way, series in taus(draw, found, seed).items():
            layers.setdefault(way, {}).update(series)
        for way, series in exact_taus(draw, lr).items():
            layers[way] |= series
    cache.remember(lambda: kept(draw, found), _key(model, task, seed, lr, matched))
    others = other_predictors(draw)
    return {"ways": {way: ways.summary(p) for way, p in answers.items()}, "others": others, "layers": layers}


def taus(draw: Draw, found: dict[str, Predictions | None], seed: int) -> dict[str, Layers]:
    """Kendall's τ within types of every way on the draw's demonstrations, of nothing learned, and its nulls."""
    nothing = ways.after(draw.model, draw.task, {})
    own = found | {"not finetuned": nothing}
    result = {way: {"kendall": ways.kendall(draw, p)} for way, p in own.items() if p and way != "shuffled"}
    attention, types = ways.attention_to_demos(draw.few), draw.types()
    mixed = attention[..., controls.permuted_within(types, seed)]
    lengths = [len(ids) for ids in icl.demo_ids(draw.model, draw.task)]
    shares = metrics.example_shares(attention, lengths)
    places = ways.aligned(draw.model, draw.task, controls.shuffled_labels(draw.task, seed))
    for way, ours in (("finetuned", places[0]), ("shuffled", places[1]), ("not finetuned", None)):
        if (p := own[way]) is None:
            continue
        map_ = ways.stand_in(p)
        series = result.setdefault(way, {})
        if ours is not None:  # the same tokens under both labellings
            both = attention[..., places[0]], map_[..., ours]
            series["kendall aligned"] = per_layer(controls.kendall_within(*both, [types[i] for i in places[0]]))
        if way != "shuffled":
            series["kendall permuted"] = per_layer(controls.kendall_within(mixed, map_, types))
            series["kendall examples"] = per_layer(metrics.kendall_taus(shares, metrics.example_shares(map_, lengths)))
    return result


def exact_taus(draw: Draw, lr: float) -> dict[str, Layers]:
    """(eq. 4.8) Kendall's τ of the exact form, all tokens and within types, and where nothing was learned."""
    some = replace(draw.task, queries=draw.task.queries[: plan.KENDALL_QUERIES])
    attention, types, result = ways.attention_to_demos(draw.few), draw.types(), {}
    for way, rate in (("finetuned", lr), ("not finetuned", NO_RATE)):
        exact = icl.value_update(draw.model, some, rate)
        map_ = exact.attention().sum(2)[..., exact.own]
        within = per_layer(controls.kendall_within(attention, map_, types))
        result[way] = {
            "kendall exact": per_layer(metrics.kendall_taus(attention, map_)),
            "kendall exact within": within,
        }
    return result


def other_predictors(draw: Draw) -> dict[str, str]:
    """Marks of predictors that know nothing of attention, in the prompt's place; none for free answers."""
    if not draw.task.labels:
        return {}
    found = {
        "bias only": controls.bias_only(draw.zsl, draw.few).right,
        "bag of words": controls.bag_of_words(draw.task),
    }
    return {name: "".join("01"[int(r)] for r in right) for name, right in found.items()}


# --- Draw against draw


def kept(draw: Draw, found: dict[str, Predictions | None]) -> dict[str, Tensor]:
    """What the residuals are taken of: outputs, and centred scores of the query's own tokens; in half precision."""
    tensors = {}
    for way, p in {"in_context": draw.few, **found}.items():
        if p and way in ("in_context", *MATRICES):
            tensors[f"{way} outputs"] = p.internals.outputs.half()
            tensors[f"{way} maps"] = controls.centred(p.internals.query_scores).half()
    return tensors


def _key(model: GPT, *cell: object) -> tuple:
    return "evidence", SIZE, *cell, model.name, str(model.device), model.fingerprint(), code_hash(*CODE)


def residuals(model: GPT, task: str, seed: int, lr: float, matched: float) -> dict[str, Tensor]:
    """The tensors of one draw, computed where they aren't kept any more."""

    def again() -> dict[str, Tensor]:
        with cache.bypassed():
            draw = Draw.of(model, plan.draw(task, seed))
            return kept(draw, ways.compared(draw, lr, matched, seed))

    return cache.remember(again, _key(model, task, seed, lr, matched))


def matrix_cells() -> Iterator[dict]:
    """Every task whose rates are known."""
    yield from ({"task": task} | found for task, found in known_rates().items())


def matrices(model: GPT, task: str, lr: float, matched: float) -> dict:
    """(eq. 5.3) Cosines of the residuals of draw s in context with those of draw t finetuned: [ways][s][t][layer]."""
    draws = [residuals(model, task, seed, lr, matched) for seed in plan.SEEDS]
    result: dict = {"outputs": {}, "maps": {}}
    for what, found in result.items():
        few = controls.demonstration_residuals(torch.stack([draw[f"in_context {what}"].float() for draw in draws]))
        for way in MATRICES:
            if all(f"{way} {what}" in draw for draw in draws):
                tuned = controls.demonstration_residuals(torch.stack([draw[f"{way} {what}"].float() for draw in draws]))
                found[way] = rounded(controls.draw_similarities(few, tuned))
    return result


def rounded(matrix: Float[Tensor, "draws draws layers"]) -> list:
    """To four digits; None where undefined."""
    return [[[None if x != x else round(x, 4) for x in layers] for layers in row] for row in matrix.tolist()]


AGAIN = ("kendall examples", "kendall permuted")  # near ties; an order that the first rows drew anew in each process
CORE = Study("evidence_core", cells, measure, CODE, real=True, planned=True, rounded=AGAIN)
MATRIX = Study("evidence_matrices", matrix_cells, matrices, (*CODE, residuals, kept), real=True, planned=True)
STUDIES = (CORE, MATRIX)
