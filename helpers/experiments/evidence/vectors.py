"""Block 9 of the plan: a task vector (Hendel et al. 2310.15916) in the prompt's place.

The residual stream behind one layer, at the token that predicts the answer of a made-up query after the demonstrations,
is put in its place when a query is read alone. It holds no gradient and no attention to the demonstrations.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers import gpt, icl
from helpers.experiments.accuracy import shots
from helpers.experiments.evidence import plan
from helpers.experiments.study import Study
from helpers.gpt import GPT
from helpers.tasks import Example, Task


def cells() -> Iterator[dict]:
    """Development draws, which choose the layer, then those of the plan."""
    for task in plan.PRIMARY:
        yield from ({"task": task, "seed": seed, "split": "dev"} for seed in plan.DEV_SEEDS)
        yield from ({"task": task, "seed": seed, "split": "test"} for seed in plan.SEEDS)


def vectors(model: GPT, task: str, seed: int, split: str) -> dict:
    """First token of the answer (or label) right or wrong, a mark a query, under the vector of every layer."""
    drawn = plan.development(task, seed) if split == "dev" else plan.draw(task, seed)
    found = task_vectors(model, drawn)
    right = {"nothing": first_tokens(model, drawn, None, None), "prompt": first_tokens(model, drawn, None, None, True)}
    layers = [first_tokens(model, drawn, layer, vector) for layer, vector in enumerate(found)]
    return {"right": right, "layers": layers}


def blocks(model: GPT) -> list[nn.Module]:
    """The layers of a network, in their order."""
    return list(next(m for m in model.network.modules() if isinstance(m, nn.ModuleList)))


@torch.no_grad()
def task_vectors(model: GPT, task: Task) -> Float[Tensor, "layers e"]:
    """Behind every layer, at the last token of the demonstrations and a query; mean over four of their own texts."""
    rows = []
    for dummy in task.demos[:4]:  # shown without their label, the other demonstrations before them
        shown = replace(task, demos=tuple(d for d in task.demos if d != dummy), queries=(dummy,))
        ids = icl.prompt_ids(model, shown, dummy)
        out = model.network.base_model(torch.tensor([ids], device=model.device), output_hidden_states=True)
        rows.append(torch.stack([hidden[0, -1] for hidden in out.hidden_states[1:-1]]))
    return torch.stack(rows).mean(0)  # the last layer's is left out: transformers gives it behind the final norm


def first_tokens(model: GPT, task: Task, layer: int | None, vector: Tensor | None, demos: bool = False) -> str:
    """A mark a query: is the answer's first token the model's choice, among the labels' where there are some?"""
    prefix, prompts, _ = icl.encode(model, task if demos else replace(task, demos=()))
    firsts = [[ids[0] for ids in icl.answer_ids(model, task, query)] for query in task.queries]
    every = sorted({token for ids in firsts for token in ids}) if task.labels else None
    return "".join(
        "01"[choice in right(task, query, ids)]
        for query, ids, choice in zip(
            task.queries, firsts, choices(model, prefix, prompts, every, layer, vector), strict=True
        )
    )


def right(task: Task, query: Example, firsts: list[int]) -> set[int]:
    """First tokens of the right answers."""
    return {firsts[task.labels.index(query.label)]} if task.labels else set(firsts)


@torch.no_grad()
def choices(
    model: GPT,
    prefix: list[int],
    prompts: list[list[int]],
    among: list[int] | None,
    layer: int | None,
    vector: Tensor | None,
) -> list[int]:
    """The likeliest next token after every prompt, of `among` or of all."""
    found: list[int] = []
    bare = gpt.encode_prefix(model, prefix)
    for start in range(0, len(prompts), 16):
        row = gpt.pack(prompts[start : start + 16], [[[0]]] * len(prompts[start : start + 16]), len(prefix), False)
        places = [options[0][0] for options in row.reads]
        with placed(model, layer, vector, places):
            logits = gpt.logits_of(model, bare, row, places)
        best = logits if among is None else logits[:, among]
        picked = best.argmax(1).tolist()
        found += picked if among is None else [among[i] for i in picked]
    return found


def placed(model: GPT, layer: int | None, vector: Tensor | None, places: list[int]) -> AbstractContextManager:
    """Within, the residual stream behind a layer is the vector at these places."""

    @contextmanager
    def hooked() -> Iterator[None]:
        def put(_: nn.Module, __: tuple, out: Tensor | tuple) -> Tensor | tuple:
            hidden = out[0] if isinstance(out, tuple) else out
            hidden[0, places] = vector.to(hidden)
            return out

        hook = blocks(model)[layer].register_forward_hook(put) if vector is not None else None
        try:
            yield
        finally:
            if hook:
                hook.remove()

    return hooked()


CODE = ("icl", "gpt", "tasks", "support.examples", shots, plan.draw, plan.development)
CODE += (task_vectors, first_tokens, right, choices, placed, blocks)
VECTORS = Study("evidence_vectors", cells, vectors, CODE, real=True, planned=True)
STUDIES = (VECTORS,)
