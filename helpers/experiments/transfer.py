"""A transfer ladder: what a change made for one query, or a vector that stands for the prompt, does to other queries.

From one query's own patch (eq. 3.8) over another's and the mean of sixteen to a task vector: one vector, behind one
layer (Hendel et al. 2310.15916). All of it after true demonstrations, and after demonstrations that teach no verb.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor, nn

from helpers import controls, gpt, icl, tasks
from helpers.experiments.accuracy import DEV_DRAWS, Estimate, development, share, shots
from helpers.experiments.evidence import vectors
from helpers.experiments.evidence.contrasts import interval
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, with_interval
from helpers.gpt import GPT
from helpers.support import examples
from helpers.tasks import Task

TASK, WORDS, AVERAGED = "past", 40, 16
SEEDS = range(8)
Estimates = dict[str, dict[str, Estimate]]  # by rung and demonstrations
Made = list[tuple[Tensor, Tensor, Tensor]]  # a layer: left [n rank m], right [n rank d], shift [n d] of n patches
SHOWN = {"true": "true pairs", "next": "the next verb's past tense", "made up": "made-up answers"}
LADDER = {
    "prompt": "the prompt itself",
    "own": "own patch",
    "no shifts": "own patch, made without shifts",
    "another's": "another verb's patch",
    "mean": "mean of 16 other patches",
    "vector": "task vector, one layer",
    "nothing": "nothing",
}
ORIGINS = ("its own", "no past tense of the list", "of an averaged verb", "shown in the prompt", "of another verb")
SCORES = {"right": "own past tense", "kind": "any past tense", "as prompt": "what the prompt says"}


# --- The layer of the task vector, from development draws


def layer_cells() -> Iterator[dict]:
    yield from ({"seed": seed} for seed in DEV_DRAWS)


def layers_tried(model: GPT, seed: int) -> dict:
    """First token of the answer right (1) or not, a mark a development verb: under the task vector of every layer."""
    drawn = development(TASK, seed)
    found = vectors.task_vectors(model, drawn)
    return {"layers": [vectors.first_tokens(model, drawn, layer, vector) for layer, vector in enumerate(found)]}


def best_layer() -> int:
    """The layer whose vector has most first tokens right on the development draws together; of equals the lowest."""
    right = np.array([[share(marks) for marks in layers] for layers in LAYERS_TRIED.frame().layers])
    return int(right.mean(0).argmax())


# --- The ladder, on test draws


def transfer_cells() -> Iterator[dict]:
    layer = best_layer()
    yield from ({"shown": shown, "seed": seed, "layer": layer} for seed in SEEDS for shown in SHOWN)


def climb(model: GPT, shown: str, seed: int, layer: int) -> dict:
    """What the model says first on every rung, verb by verb, and its scores: `scored`."""
    drawn = drawn_as(shown, seed)
    prefix, prompts, _ = icl.encode(model, drawn)
    made, no_shifts = absorbed(model, prefix, prompts), absorbed(model, prefix, prompts, shifts=False)
    n, vector = len(prompts), vectors.task_vectors(model, drawn)[layer]
    chosen = {
        "prompt": vectors.choices(model, prefix, prompts, None, None, None),
        "own": under(model, made, range(n), prompts),
        "no shifts": under(model, no_shifts, range(n), prompts),
        "another's": under(model, made, [place - 1 for place in range(n)], prompts),
        "mean": under(model, means(made), [int(place < AVERAGED) for place in range(n)], prompts),
        "vector": vectors.choices(model, model.bos, prompts, None, layer, vector),
        "nothing": vectors.choices(model, model.bos, prompts, None, None, None),
    }
    said = {rung: [model.tokenizer.decode([token]) for token in tokens] for rung, tokens in chosen.items()}
    scores = {rung: scored(model, drawn, tokens, chosen["prompt"]) for rung, tokens in chosen.items()}
    return {"said": said, "scores": scores}


def drawn_as(shown: str, seed: int) -> Task:
    """The draw as it is; or every verb before the next verb's past tense; or before a word made of three syllables."""
    drawn = tasks.load(TASK, shots(TASK), seed, queries=WORDS)
    if shown == "made up":
        rng = random.Random(f"{TASK} {seed} made up")
        words = ["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3)) for _ in drawn.demos]
        pairs = zip(drawn.demos, words, strict=True)
        return replace(drawn, demos=tuple(replace(demo, label=word, answers=(word,)) for demo, word in pairs))
    return controls.flipped_labels(drawn) if shown == "next" else drawn


# --- Patches of many queries at once


@torch.no_grad()
def absorbed(model: GPT, prefix: list[int], prompts: list[list[int]], shifts: bool = True) -> Made:
    """The patch (eq. 3.8) of every query, as `patches.absorb` makes them one by one: here all in one packed row.

    Without shifts every layer's change of weights is solved for where no shift was made below: MLPs as behind the
    prompt, the rest of the stream as without it.
    """
    seen, made, encoded = [], [], gpt.encode_prefix(model, prefix)
    row, ends = row_of(prompts, len(prefix))
    with watched(model, lambda normed, stream: seen.append((normed[ends], stream[ends]))):
        gpt.logits_of(model, encoded, row, ends)
    behind, own = iter(seen), [model.bos + prompt for prompt in prompts]
    row, last = row_of(own, 0)

    def solve(normed: Tensor, stream: Tensor) -> None:
        (after, shifted), before = next(behind), normed[last]
        left = torch.cat([(after - before) @ part.weight.T for part in projections(model, len(made))], -1)
        right = before / before.square().sum(-1, keepdim=True)
        made.append((left[:, None], right[:, None], shifts * (shifted - stream[last])))

    with watched(model, solve), changed(model, made, owners(own, range(len(own)))):
        gpt.logits_of(model, gpt.encode_prefix(model, []), row, last)
    return made


def row_of(prompts: list[list[int]], prefix: int) -> tuple[gpt.Packed, list[int]]:
    """Prompts side by side in one row, and where each one ends."""
    row = gpt.pack(prompts, [[[0]]] * len(prompts), prefix, False)
    return row, [options[0][0] for options in row.reads]


def owners(prompts: list[list[int]], patch_of: Iterable[int]) -> Int[Tensor, " tokens"]:
    """For every token of the row the number of the patch that it is read under."""
    return torch.tensor(list(patch_of)).repeat_interleave(torch.tensor([len(prompt) for prompt in prompts]))


def projections(model: GPT, layer: int) -> tuple[nn.Module, nn.Module]:
    """Gate and up projection of a layer: the first weights, which a patch changes."""
    mlp = vectors.blocks(model)[layer].mlp
    return mlp.gate_proj, mlp.up_proj


@contextmanager
def watched(model: GPT, see: Callable[[Tensor, Tensor], None]) -> Iterator[None]:
    """Within, `see` is handed every layer's MLP input and the stream after attention, for all tokens of a row."""
    with ExitStack() as hooks:
        for block in vectors.blocks(model):
            norm = block.post_attention_layernorm
            hooks.callback(norm.register_forward_hook(lambda _, x, out: see(out[0], x[0][0])).remove)
        yield


@contextmanager
def changed(model: GPT, made: Made, owner: Int[Tensor, " tokens"]) -> Iterator[None]:
    """Within, every token of a row is read under the patch of its owner: no weight is touched, the sum is the same."""

    def project(layer: int, half: int, x: Tensor, out: Tensor) -> Tensor:
        left, right, _ = made[layer]
        seen = torch.einsum("td,trd->tr", x[0], right[owner])
        return out + torch.einsum("tr,trm->tm", seen, left.chunk(2, -1)[half][owner])

    with ExitStack() as hooks:
        for layer, block in enumerate(vectors.blocks(model)):
            for half, part in enumerate(projections(model, layer)):
                hook = part.register_forward_hook(lambda _, x, out, at=(layer, half): project(*at, x[0], out))
                hooks.callback(hook.remove)
            hook = block.mlp.register_forward_hook(lambda _, x, out, layer=layer: out + made[layer][2][owner])
            hooks.callback(hook.remove)
        yield


def means(made: Made) -> Made:
    """Two patches: the mean of the first sixteen, and that of the last sixteen, for the first sixteen queries."""

    def averaged(part: Tensor) -> Tensor:
        """Ranks are laid side by side."""
        return torch.stack([part[:AVERAGED], part[-AVERAGED:]]).flatten(1, 2)

    return [
        (averaged(left) / AVERAGED, averaged(right), torch.stack([shift[:AVERAGED], shift[-AVERAGED:]]).mean(1))
        for left, right, shift in made
    ]


@torch.no_grad()
def under(model: GPT, made: Made, patch_of: Iterable[int], prompts: list[list[int]]) -> list[int]:
    """The first token said to every query, alone, each under the patch of this number."""
    own = [model.bos + prompt for prompt in prompts]
    row, last = row_of(own, 0)
    with changed(model, made, owners(own, patch_of)):
        return gpt.logits_of(model, gpt.encode_prefix(model, []), row, last).argmax(-1).tolist()


# --- Scores


def scored(model: GPT, drawn: Task, chosen: list[int], after_prompt: list[int]) -> dict[str, str]:
    """A mark a query, three times, all of the first token said.

    `right`: it begins a right answer of this very query. `kind`: that, or it is the whole answer of some pair of the
    task's file and begins no text there (here: a past tense, and not a present one too). `as prompt`: it is what the
    model says after the demonstrations.
    """
    own = [{ids[0] for ids in icl.answer_ids(model, drawn, query)} for query in drawn.queries]
    kind = whole_answers(model, drawn)
    right = [token in firsts for token, firsts in zip(chosen, own, strict=True)]
    marks = {"right": right, "kind": [hit or token in kind for hit, token in zip(right, chosen, strict=True)]}
    marks["as prompt"] = [token == expected for token, expected in zip(chosen, after_prompt, strict=True)]
    return {score: "".join("01"[mark] for mark in found) for score, found in marks.items()}


def whole_answers(model: GPT, drawn: Task) -> set[int]:
    """The tokens that are a whole answer of some pair of the task's file and begin none of its texts."""
    rows = [row for part in examples.examples(tasks.TASKS[drawn.name].file).values() for row in part]
    answers = [model.encode(f" {answer}") for row in rows for answer in row["answers"]]
    return {ids[0] for ids in answers if len(ids) == 1} - {model.encode(f" {row['text']}")[0] for row in rows}


VECTORS = (vectors.task_vectors, vectors.first_tokens, vectors.right, vectors.choices, vectors.placed, vectors.blocks)
DEVELOPED = ("icl", "gpt", "tasks", "support.examples", shots, development, *VECTORS)
LAYERS_TRIED = Study("transfer_layers", layer_cells, layers_tried, DEVELOPED, real=True)
PARTS = (drawn_as, absorbed, row_of, owners, projections, watched, changed, means, under, scored, whole_answers)
PARTS += (controls.flipped_labels, controls._answered)
TRANSFER = Study("transfer", transfer_cells, climb, (*DEVELOPED, *PARTS), real=True)
STUDIES = (LAYERS_TRIED, TRANSFER)


# --- What the lines say


def shares(shown: str, rung: str, score: str) -> np.ndarray:
    """The share of verbs with this score, a number a draw."""
    return np.array([share(found[rung][score]) for found in TRANSFER.frame(shown=shown).scores])


def ladder(score: str, shown: Sequence[str] = ("true",), rungs: Iterable[str] = tuple(LADDER)) -> Estimates:
    """Of every rung and kind of demonstrations the mean share over the draws, with its 95 % t interval over them."""
    return {LADDER[rung]: {SHOWN[kind]: interval(shares(kind, rung, score)) for kind in shown} for rung in rungs}


def repeated(shown: str = "true") -> tuple[int, int]:
    """Under another verb's patch: how often the very answer that it gives that other verb; and of how many cases."""
    said = list(TRANSFER.frame(shown=shown).said)
    hits = [found["another's"][place] == found["own"][place - 1] for found in said for place in range(WORDS)]
    return sum(hits), len(hits)


def origins(shown: str = "true") -> dict[str, int]:
    """What is said under the mean of sixteen patches, counted over all verbs and draws: whose past tense is it?"""
    found = Counter(origin for row in TRANSFER.rows(shown=shown) for origin in map(partial(_origin, row), range(WORDS)))
    return {origin: found[origin] for origin in ORIGINS}


def _origin(row: dict, place: int) -> str:
    """Of one verb's answer under the mean: the first of `ORIGINS` that it is."""
    scores, said = row["result"]["scores"]["mean"], row["result"]["said"]
    averaged = said["own"][-AVERAGED:] if place < AVERAGED else said["own"][:AVERAGED]
    demos = [demo.label for demo in drawn_as(row["cell"]["shown"], row["cell"]["seed"]).demos]
    word = said["mean"][place]
    holds = (scores["right"][place] == "1", scores["kind"][place] == "0", word in averaged, word.strip() in demos, True)
    return ORIGINS[holds.index(True)]


def transfer_table() -> str:
    """All scores of all rungs, after every kind of demonstrations: mean and 95 % t interval over the draws."""
    rows = [
        {"answers shown": SHOWN[kind], "in the prompt's place": title}
        | {SCORES[score]: with_interval(interval(shares(kind, rung, score))) for score in SCORES}
        for kind in SHOWN
        for rung, title in LADDER.items()
    ]
    return markdown(pd.DataFrame(rows))
