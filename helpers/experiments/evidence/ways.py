"""The ways of predicting that the plan compares on one draw, and what each of them did inside, beside the prompt."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from helpers import controls, gpt, icl, metrics
from helpers.controls import Recipe, Weights
from helpers.experiments.accuracy import marks_and_loss
from helpers.experiments.evidence.plan import KENDALL_QUERIES
from helpers.experiments.inside import per_layer
from helpers.gpt import GPT
from helpers.icl import Predictions
from helpers.tasks import Task

LENGTH_QUERIES = 16  # on which lengths are matched
Layers = dict[str, list[float | None]]  # a measurement by its name, layer by layer


@dataclass(frozen=True)
class Draw:
    """One draw of demonstrations, and what the untouched model makes of it without and with them."""

    model: GPT
    task: Task
    zsl: Predictions
    few: Predictions

    @classmethod
    def of(cls, model: GPT, task: Task) -> "Draw":
        zsl, few = (way(model, task, internals=True) for way in (icl.zero_shot, icl.in_context))
        return cls(model, task, zsl, few)

    def types(self) -> list[str]:
        return controls.token_types(self.model, self.task)


def finetuned(model: GPT, task: Task, lr: float) -> Predictions | None:
    """`icl.finetuned` with internals; None where the rate is so large that numbers overflow."""
    try:
        return icl.finetuned(model, task, lr, internals=True)
    except ValueError as error:
        if "nan or infinit" not in str(error):
            raise
        return None


def after(model: GPT, task: Task, weights: Weights, queries: Tensor | None = None) -> Predictions | None:
    """Zero-shot under these weights; without `queries` of a training, those of a plain pass over the demonstrations."""
    try:
        with controls.holding(model, weights):
            found = icl.zero_shot(model, task, internals=True)
            queries = plain_queries(model, task) if queries is None else queries
    except ValueError as error:
        if "nan or infinit" not in str(error):
            raise
        return None
    return replace(found, internals=replace(found.internals, training_queries=queries))


@torch.no_grad()
def plain_queries(model: GPT, task: Task) -> Float[Tensor, "training_tokens layers heads d_head"]:
    """The queries of the demonstrations' tokens, each demonstration passed alone and nothing learned from it."""
    demos = icl.demo_ids(model, task)
    queries = torch.zeros(sum(map(len, demos)), *model.attention_shape)
    for ids, place in zip(demos, queries.split([len(ids) for ids in demos]), strict=True):
        with gpt.watch_training(model, place):
            model.network.base_model(torch.tensor([model.bos + ids], device=model.device))
    return queries


def compared(draw: Draw, lr: float, matched: float, seed: int) -> dict[str, Predictions | None]:
    """Every change of weights that the plan compares, read without demonstrations: at the rate, and its controls."""
    model, task, base = draw.model, draw.task, draw.zsl.internals.outputs[:LENGTH_QUERIES]
    paper = controls.finetune(model, task, Recipe(lr))
    found = {
        "finetuned": after(model, task, paper.weights, paper.queries),
        "matched": finetuned(model, task, matched),
        "shuffled": finetuned(model, controls.shuffled_labels(task, seed), lr),
    }
    if found["finetuned"] is None:
        return found | dict.fromkeys(("mlp", "random", "random, as long"))
    some = replace(task, queries=task.queries[:LENGTH_QUERIES])
    length = controls.relative_length(found["finetuned"].internals.outputs[:LENGTH_QUERIES], base)
    mlp, noise = (
        controls.finetune(model, task, Recipe(lr, "mlp")).weights,
        controls.random_update(model, paper.weights, seed),
    )
    return found | {
        "mlp": after(model, task, controls.matched_length(model, some, mlp, length)),
        "random": after(model, task, noise),
        "random, as long": after(model, task, controls.matched_length(model, some, noise, length)),
    }


# --- What a way did inside


def updates(draw: Draw, way: Predictions) -> Layers:
    """Lengths and similarities of the two updates, layer by layer, mean over the queries."""
    z, i, f = (found.internals.outputs for found in (draw.zsl, draw.few, way))
    rho = [(h - z).norm(dim=-1) / z.norm(dim=-1) for h in (i, f)]
    tangential = [controls.split_radial(h - z, z)[1] for h in (i, f)]
    plain = [found.internals.query_scores for found in (draw.zsl, draw.few, way)]
    own = [controls.centred(scores) for scores in plain]
    series = {
        "rho": rho[1],
        "sim_aou": metrics.aou_cosines(i, f, z),
        "sim_aou noise": metrics.noise_sim_aou(*rho),
        "sim_aou raw": metrics.aou_cosines(i, f, z, normalize=False),
        "sim_aou tangential": metrics.cosine(*tangential),
        "sim_am": metrics.am_cosines(plain[1], plain[2]),
        "sim_am updates": metrics.am_cosines(own[1] - own[0], own[2] - own[0]),
    }
    return {name: per_layer(values) for name, values in series.items()}


def directions(draw: Draw, way: Predictions, seed: int) -> Layers:
    """The same where each layer's update has its length and radial part, and a random direction otherwise."""
    z, i, f = (found.internals.outputs for found in (draw.zsl, draw.few, way))
    f = z + controls.random_directions(f - z, z, seed)
    tangential = [controls.split_radial(h - z, z)[1] for h in (i, f)]
    series = {
        "sim_aou": metrics.aou_cosines(i, f, z),
        "sim_aou raw": metrics.aou_cosines(i, f, z, normalize=False),
        "sim_aou tangential": metrics.cosine(*tangential),
    }
    return {name: per_layer(values) for name, values in series.items()}


def attention_to_demos(found: Predictions) -> Float[Tensor, "n layers tokens"]:
    """The prompt's attention to the demonstration tokens, heads summed; the first queries."""
    return found.internals.demo_scores[:KENDALL_QUERIES].sum(2)


def stand_in(way: Predictions) -> Float[Tensor, "n layers tokens"]:
    """The paper's stand-in for finetuning's attention to them; the first queries."""
    few = replace(way.internals, queries=way.internals.queries[:KENDALL_QUERIES])
    return few.training_attention()


def kendall(draw: Draw, way: Predictions) -> list[float | None]:
    """Kendall's τ within one type of token, layer by layer."""
    return per_layer(controls.kendall_within(attention_to_demos(draw.few), stand_in(way), draw.types()))


def everything(draw: Draw, way: Predictions) -> Layers:
    """What is measured of any finetuning on the draw's own demonstrations."""
    return updates(draw, way) | {"kendall": kendall(draw, way)}


def aligned(model: GPT, task: Task, other: Task) -> tuple[list[int], list[int]]:
    """Where the demonstrations' same tokens stand under two labellings; a label only where it has as many tokens."""
    ours, theirs, places = [], [], [0, 0]
    kinds = [iter(controls.token_types(model, one)) for one in (task, other)]
    lengths = [[len(ids) for ids in icl.demo_ids(model, one)] for one in (task, other)]
    for sizes in zip(*lengths, strict=True):
        types = [[next(kind) for _ in range(size)] for kind, size in zip(kinds, sizes, strict=True)]
        for is_label in (False, True):
            a, b = ([p for p, kind in enumerate(own) if (kind == "label") == is_label] for own in types)
            if len(a) == len(b):
                ours += [places[0] + p for p in a]
                theirs += [places[1] + p for p in b]
        places = [place + size for place, size in zip(places, sizes, strict=True)]
    return ours, theirs


def summary(found: Predictions | None) -> dict | None:
    """Right or wrong, the loss, and every score to three digits."""
    if found is None:
        return None
    return marks_and_loss(found) | {"scores": [[round(score, 3) for score in row] for row in found.scores.tolist()]}
