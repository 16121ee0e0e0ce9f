"""Tasks: real sentences or word pairs, a template, labels, and demonstrations drawn by a seed."""

import difflib
import random
from collections import defaultdict
from dataclasses import dataclass, replace
from numbers import Integral
from string import Formatter

from helpers.support.examples import SPLITS, examples


@dataclass(frozen=True)
class Template:
    """How an example is written; `{text}` and `{label}` are filled in, `separator` stands between examples.

    Raises ValueError where one is missing or misspelt, or the label isn't last: it could not be predicted.
    """

    pattern: str
    separator: str = "\n"

    def __post_init__(self) -> None:
        try:
            fields = [field for _, field, *_ in Formatter().parse(self.pattern) if field is not None]
        except ValueError as error:  # a brace alone
            fields = [f"{error}"]
        if fields[-1:] != ["label"] or set(fields[:-1]) != {"text"}:
            raise ValueError(
                f"Template {self.pattern!r} fills in {fields}; it must have {{text}}, then {{label}} once: "
                "the model reads up to the label.\nWrite it as 'Review: {text}\\nSentiment: {label}'."
            )


@dataclass(frozen=True)
class Example:
    """One sentence with its label, or one word with all its right answers, the usual one first."""

    text: str
    label: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """Demonstrations and queries under one template; no `labels` means free answers."""

    name: str
    template: Template
    labels: tuple[str, ...]
    demos: tuple[Example, ...]
    queries: tuple[Example, ...]

    def __post_init__(self) -> None:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(
                f"Task {self.name!r} has labels {list(self.labels)}: two that are equal can't be told apart."
            )
        if any(not example.text.strip() for example in (*self.demos, *self.queries)):
            raise ValueError(f"Task {self.name!r} has an empty text: every demonstration and every query needs one.")
        stray = {e.label for e in (*self.demos, *self.queries)} - set(self.labels) if self.labels else set()
        if stray:
            raise ValueError(
                f"Task {self.name!r} has labels {sorted(stray)}, but only {list(self.labels)} can be answered."
            )


@dataclass(frozen=True)
class Definition:
    """The file of a task's examples, and its template and label words, both picked on the development split."""

    file: str
    template: Template
    labels: dict[str, str] | None = None  # what the file says: what the model says


SENTIMENT = {"negative": "negative", "positive": "positive"}
COLLECTIONS = {"movie": "film", "product": "shop", "news": "newspaper", "tweet": "Twitter"}
TASKS = {
    "mr": Definition("mr", Template("Review: {text}\nSentiment: {label}"), SENTIMENT),
    "mr-sst2": Definition("mr", Template("Sentence: {text}\nLabel: {label}"), SENTIMENT),
    "subj": Definition("subj", Template("Input: {text}\nType: {label}"), {"plot": "plot", "review": "review"}),
    "source": Definition("source", Template("Text: {text}\nSource: {label}"), COLLECTIONS),
    "source-letters": Definition(
        "source", Template("Input: {text}\nOutput: {label}"), dict(zip(COLLECTIONS, "ABCD", strict=True))
    ),
    "past": Definition("past", Template("{text} -> {label}")),
    "antonym": Definition("antonym", Template("{text} -> {label}")),
    "capital": Definition("capital", Template("{text} -> {label}")),
}


def load(name: str, shots: Integral = 32, seed: Integral = 0, queries: Integral = 100, split: str = "test") -> Task:
    """A task with `shots` demonstrations drawn by `seed` and the first `queries` examples of `split`.

    Demonstrations come from the training split, as balanced over the labels as the count allows, in random order.
    Raises ValueError for an unknown name (with the nearest ones) or a count that can't be had.
    """
    definition = _named(name)
    pools = {part: [_example(row, definition) for row in rows] for part, rows in examples(definition.file).items()}
    if split not in pools:
        raise ValueError(f"split={split!r}: there are {', '.join(SPLITS)}.")
    for what, count, pool in (("shots", shots, pools["train"]), ("queries", queries, pools[split])):
        if isinstance(count, bool) or not isinstance(count, Integral) or not 0 <= count <= len(pool):
            raise ValueError(
                f"{what}={count!r}: a whole number, and task {name!r} has between 0 and {len(pool)} to give."
            )
    labels = tuple(definition.labels.values()) if definition.labels else ()
    demos = draw_demos(pools["train"], shots, random.Random(f"{name} {seed}"))
    return Task(name, definition.template, labels, demos, tuple(pools[split][:queries]))


def relabel(task: Task, labels: tuple[str, ...]) -> Task:
    """The same task answered with other label words, in the order of `task.labels`."""
    if len(labels) != len(task.labels):
        raise ValueError(f"Task {task.name!r} has {len(task.labels)} labels; {len(labels)} new words were given.")
    new = dict(zip(task.labels, labels, strict=True))

    def renamed(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(replace(example, label=new[example.label]) for example in examples)

    return Task(task.name, task.template, labels, renamed(task.demos), renamed(task.queries))


def draw_demos(pool: list[Example], shots: Integral, rng: random.Random) -> tuple[Example, ...]:
    """Demonstrations in random order; no two labels' counts differ by more than one."""
    shelves = defaultdict(list)
    for example in rng.sample(pool, len(pool)):
        shelves[example.label if not example.answers else ""].append(example)
    turns = rng.sample(sorted(shelves), len(shelves))
    drawn = [shelves[turns[i % len(turns)]].pop() for i in range(shots)]
    return tuple(rng.sample(drawn, shots))


def _example(row: dict, definition: Definition) -> Example:
    if definition.labels:
        return Example(row["text"], definition.labels[row["label"]])
    return Example(row["text"], row["answers"][0], tuple(row["answers"]))


def _named(name: str) -> Definition:
    if name not in TASKS:
        near = difflib.get_close_matches(name.lower(), TASKS, n=3, cutoff=0.4) or sorted(TASKS)
        raise ValueError(f"There is no task called {name!r}. Nearest: {', '.join(near)}.")
    return TASKS[name]
