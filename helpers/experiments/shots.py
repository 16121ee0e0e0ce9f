"""How many lines a task takes: answers against demonstrations, true ones, copies and shuffled ones."""

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Int

from helpers import gpt, icl, tasks
from helpers.experiments.accuracy import Estimate
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, with_interval
from helpers.gpt import GPT
from helpers.tasks import Example, Task

VERBS, SHOTS, DRAWS = 40, (1, 2, 4, 8, 16), range(10)
TOKENS = 6  # of an answer at most: no past tense here has more
KINDS = ("true", "identity", "shuffled")


def shot_cells() -> Iterator[dict]:
    yield {"kind": "none", "shots": 0, "seed": 0}
    for kind in KINDS:
        for count in SHOTS[kind == "shuffled" :]:  # a single past tense can't be dealt out otherwise
            yield from ({"kind": kind, "shots": count, "seed": seed} for seed in DRAWS)


def shown(task: Task, kind: str, seed: int) -> Task:
    """The task with lines of this kind: "see -> saw"; "see -> see"; "see -> took", no verb before its own."""
    return task if kind in ("none", "true") else replace(task, demos=tuple(_lines(task.demos, kind, seed)))


def _lines(demos: tuple[Example, ...], kind: str, seed: int) -> Iterator[Example]:
    answers = [demo.text for demo in demos] if kind == "identity" else dealt([demo.label for demo in demos], seed)
    for demo, answer in zip(demos, answers, strict=True):
        yield Example(demo.text, answer, (answer,))


def dealt(words: list[str], seed: int) -> list[str]:
    """The same words in a random order that leaves none in its place."""
    rng, order = np.random.default_rng(seed), words
    while any(new == old for new, old in zip(order, words, strict=True)):
        order = [words[place] for place in rng.permutation(len(words))]
    return order


def answers(model: GPT, task: Task) -> list[str]:
    """The model's own answer to every query, its first choice at every token up to the end of a word."""
    prefix, prompts, _ = icl.encode(model, task)
    said: list[list[int]] = [[] for _ in prompts]
    while going := [place for place, ids in enumerate(said) if len(ids) < TOKENS and not _word(model, ids)[1]]:
        read = [prompts[place] + said[place] for place in going]
        scored = gpt.score(model, prefix, [ids[:-1] for ids in read], [[ids[-1:]] for ids in read], follow=True)
        for place, (last,) in zip(going, scored, strict=True):
            said[place].append(last.following)
    return [_word(model, ids)[0] for ids in said]


def _word(model: GPT, ids: list[int]) -> tuple[str, str]:
    """The word that an answer starts with, and what follows it: nothing as long as it may go on."""
    return re.fullmatch(r" ?([^\W_]*)(.*)", model.tokenizer.decode(ids), re.DOTALL).groups()


def marked_answers(model: GPT, kind: str, shots: int, seed: int) -> dict:
    """Every verb's answer, and marks: its own past tense; the verb itself; what a shown line has after its arrow."""
    drawn = shown(tasks.load("past", shots, seed, queries=VERBS), kind, seed)
    found, on_the_right = answers(model, drawn), {demo.label for demo in drawn.demos}
    pairs = list(zip(found, drawn.queries, strict=True))
    return {
        "right": "".join("01"[word in query.answers] for word, query in pairs),
        "copy": "".join("01"[word == query.text] for word, query in pairs),
        "shown": "".join("01"[word in on_the_right] for word in found),
        "answers": found,
    }


DECIDES = ("icl", "gpt", "tasks", "support.examples", shown, _lines, dealt, answers, _word)
SHOTS_STUDY = Study("shots", shot_cells, marked_answers, DECIDES, real=True, rounded=("answers",))
STUDIES = (SHOTS_STUDY,)


# --- What the lines say

ANSWERS = {"right": "its own past tense", "copy": "the verb itself", "shown": "a word behind an arrow above it"}
NAMES = {"true": "true lines", "identity": "identity lines", "shuffled": "shuffled lines"}
RESAMPLES = 10_000


def marks(kind: str, shots: int, what: str = "right") -> Int[np.ndarray, "draws verbs"]:
    """The recorded marks of one kind and number of lines, 0 or 1."""
    return np.array([[int(mark) for mark in row] for row in SHOTS_STUDY.frame(kind=kind, shots=shots)[what]])


def estimate(kind: str, shots: int, what: str = "right") -> Estimate:
    """A share of answers with its 95 % percentile bootstrap interval: draws and verbs are both drawn anew."""
    table, rng = marks(kind, shots, what), np.random.default_rng(0)
    draws, verbs = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n for n in table.shape)
    return float(table.mean()), *map(float, np.quantile(((draws @ table) * verbs).sum(1), [0.025, 0.975]))


def curve(kind: str, what: str = "right") -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Numbers of lines from 0 on, and for each the share of such answers with both ends of its interval."""
    shown = counts(kind)
    found = [estimate("none", 0, what), *(estimate(kind, count, what) for count in shown)]
    return np.array([0, *shown]), *np.array(found).T


def counts(kind: str) -> list[int]:
    """The numbers of lines of this kind that were put in front."""
    return sorted({cell["shots"] for cell in shot_cells() if cell["kind"] == kind})


def shots_table(shots: int) -> str:
    """What the answers are after so many lines of each kind: shares with their intervals, and the rest."""
    rows = []
    for kind in (kind for kind in KINDS if shots in counts(kind)):
        found = {said: estimate(kind, shots, what) for what, said in ANSWERS.items()}
        rest = 1 - sum(share for share, *_ in found.values())
        shares = {said: with_interval(each) for said, each in found.items()}
        rows.append({f"after {shots} lines": NAMES[kind]} | shares | {"anything else": f"{rest:.2f}"})
    return markdown(pd.DataFrame(rows))


# --- Live


def completed(model: GPT, lines: list[str], verbs: list[str]) -> list[str]:
    """The word that the model puts behind every `verb ->` after the same lines, such as "see -> saw"."""
    pairs = [line.split(" -> ") for line in lines]
    demos = tuple(Example(verb, answer, (answer,)) for verb, answer in pairs)
    queries = tuple(Example(verb, verb, (verb,)) for verb in verbs)
    return answers(model, replace(tasks.load("past", 0, queries=0), demos=demos, queries=queries))
