"""A prompt as a patch of weights: whose answers come first under one's own patch, another's, and parts of it."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from helpers import icl, tasks
from helpers.experiments.accuracy import DRAWS, FREE, share, shots
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown
from helpers.gpt import GPT, patches

WORDS, AVERAGED = 40, 16
PATCHED = {
    "prompt": "with the prompt",
    "own": "own patch, no prompt",
    "another's": "another word's patch",
    "mean": "mean of 16 others'",
    "only weights": "own, without shifts",
    "only shift": "own, only shifts",
    "nothing": "nothing",
}


def patch_cells() -> Iterator[dict]:
    for name in FREE:
        for seed in DRAWS[:3]:
            yield {"task": name, "seed": seed}


def patched_answers(model: GPT, task: str, seed: int) -> dict:
    """First token of the answer right (1) or not, a mark a query: with the prompt, and without it under patches."""
    drawn = tasks.load(task, shots(task), seed, queries=WORDS)
    shown = [(demo.text, demo.label) for demo in drawn.demos]
    asked = [icl.build_prompt(drawn.template, [], query.text) for query in drawn.queries]
    prompt = icl.build_prompt(drawn.template, shown, drawn.queries[0].text).removesuffix(asked[0])
    made = [patches.absorb(model, prompt, text) for text in asked]
    marks, apart = dict.fromkeys(PATCHED, ""), 0.0
    for place, (query, text) in enumerate(zip(drawn.queries, asked, strict=True)):
        others = [made[(place + step) % WORDS] for step in range(1, AVERAGED + 1)]
        right = {ids[0] for ids in icl.answer_ids(model, drawn, query)}
        own, behind = made[place], patches.next_token(model, prompt + text)
        used = {"own": own, "another's": others[0], "mean": patches.mean(others)}
        used |= {"only weights": replace(own, shift=0 * own.shift), "only shift": replace(own, left=0 * own.left)}
        logits = {"prompt": behind, "nothing": patches.next_token(model, text)}
        for name, patch in used.items():
            with patches.patched(model, patch):
                logits[name] = patches.next_token(model, text)
        apart = max(apart, (logits["own"] - behind).abs().max().item())
        marks = {name: marks[name] + "01"[logits[name].argmax().item() in right] for name in marks}
    return {"right": marks, "largest difference": float(f"{apart:.1e}")}


PATCHES = Study(
    "patches", patch_cells, patched_answers, ("icl", "gpt", "dual", "tasks", "support.examples", shots), real=True
)
STUDIES = (PATCHES,)


def patches_table() -> str:
    """Share of words whose answer's first token comes first, mean over the draws, under every patch."""
    rows = []
    for task, found in PATCHES.frame().groupby("task", sort=False):
        shares = {title: np.mean([share(right[name]) for right in found.right]) for name, title in PATCHED.items()}
        rows.append({"task": f"`{task}`"} | {title: f"{mean:.2f}" for title, mean in shares.items()})
    return markdown(pd.DataFrame(rows))
