"""Right or wrong: templates and rates tried on the development split, the three ways on the test split, and curves."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from helpers import icl, metrics, tasks
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, with_interval
from helpers.gpt import GPT
from helpers.icl import Predictions
from helpers.tasks import Task, Template

DRAWS = range(5)  # seeds of the demonstrations reported on the test split
DEV_DRAWS = (1000, 1001)  # seeds of the demonstrations on the development split
CLASSIFIED = ("mr", "mr-sst2", "subj", "source", "source-letters")
FREE = ("past", "antonym", "capital")
SENTIMENT = [("negative", "positive"), ("Negative", "Positive"), ("bad", "good"), ("terrible", "great")]
COLLECTIONS = [("movie", "product", "news", "tweet"), ("film", "shop", "newspaper", "Twitter")]
CANDIDATES = {  # task: patterns, and label words; ((),) leaves the answers as they are
    "mr": (["Review: {text}\nSentiment: {label}"], SENTIMENT),
    "mr-sst2": (["Sentence: {text}\nLabel: {label}"], SENTIMENT),
    "subj": (
        ["Input: {text}\nType: {label}", "Text: {text}\nType: {label}"],
        [("objective", "subjective"), ("plot", "review"), ("story", "opinion")],
    ),
    "source": (
        ["Text: {text}\nSource: {label}", "Text: {text}\nType: {label}", "Input: {text}\nType: {label}"],
        COLLECTIONS,
    ),
    "source-letters": (
        ["Input: {text}\nOutput: {label}", "Text: {text}\nType: {label}", "Text: {text}\nSource: {label}"],
        [tuple("ABCD")],
    ),
} | {
    name: (["{text} -> {label}", "{text} => {label}", "{text}: {label}", "Input: {text}\nOutput: {label}"], [()])
    for name in FREE
}
LEARNING_RATES = {"sgd": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1), "adam": (3e-5, 1e-4, 3e-4, 1e-3)}
WAYS = {"zero_shot": "zero-shot", "in_context": "in context", "finetuned": "finetuned"}  # as recorded: as shown
OPTIMIZER_NAMES = {"sgd": "SGD", "adam": "Adam"}
EPOCHS = (0, 1, 2, 4, 8)
Estimate = tuple[float, float, float]  # mean, and the ends of its 95 % interval


def shots(name: str) -> int:
    """How many demonstrations the course shows: 32 sentences as the paper does, or 16 word pairs."""
    return 16 if name in FREE else 32


def marks_and_loss(predictions: Predictions) -> dict:
    """What is kept of one way of predicting: right or wrong for every query, raw and with label bias removed."""
    return {
        "right": "".join("01"[int(r)] for r in predictions.right),
        "calibrated": "".join("01"[int(r)] for r in predictions.calibrated().right),
        "loss": round(predictions.loss, 5),
    }


def development(task: str, seed: int) -> Task:
    """A draw of the development split."""
    return tasks.load(task, shots(task), seed, split="dev", queries=50 if task in FREE else 100)


def template_cells() -> Iterator[dict]:
    for name, (patterns, words) in CANDIDATES.items():
        for pattern in patterns:
            for labels in words:
                for seed in DEV_DRAWS:
                    yield {"task": name, "pattern": pattern, "labels": list(labels), "seed": seed}


def try_template(model: GPT, task: str, pattern: str, labels: list[str], seed: int) -> dict:
    drawn = replace(development(task, seed), template=Template(pattern))
    if labels:
        drawn = tasks.relabel(drawn, tuple(labels))
    return {
        "zero_shot": marks_and_loss(icl.zero_shot(model, drawn)),
        "in_context": marks_and_loss(icl.in_context(model, drawn)),
    }


def rate_cells() -> Iterator[dict]:
    for name in (*CLASSIFIED, *FREE):
        for lr in LEARNING_RATES["sgd"]:
            for seed in DEV_DRAWS:
                yield {"task": name, "lr": lr, "seed": seed}


def try_rate(model: GPT, task: str, lr: float, seed: int) -> dict:
    drawn = development(task, seed)
    return {
        "zero_shot": marks_and_loss(icl.zero_shot(model, drawn)),
        "finetuned": marks_and_loss(icl.finetuned(model, drawn, lr)),
    }


def three_way_cells() -> Iterator[dict]:
    for name in (*CLASSIFIED, *FREE):
        for seed in DRAWS:
            yield {"task": name, "lr": best_rate(name), "seed": seed}


def three_ways(model: GPT, task: str, lr: float, seed: int) -> dict:
    drawn = tasks.load(task, shots(task), seed)
    ways = {
        "zero_shot": icl.zero_shot(model, drawn),
        "in_context": icl.in_context(model, drawn),
        "finetuned": icl.finetuned(model, drawn, lr),
    }
    return {way: marks_and_loss(predictions) for way, predictions in ways.items()}


def curve_cells(split: str) -> Callable[[], Iterator[dict]]:
    def cells() -> Iterator[dict]:
        for all_weights in (False, True):
            for optimizer in LEARNING_RATES:
                how = {"split": split, "task": "past", "optimizer": optimizer, "all_weights": all_weights}
                dev = split == "dev"
                for lr in LEARNING_RATES[optimizer] if dev else [best_curve_rate(optimizer, all_weights)]:
                    yield from (how | {"lr": lr, "seed": seed} for seed in (DEV_DRAWS[:1] if dev else DRAWS[:3]))

    return cells


def curve(model: GPT, split: str, task: str, optimizer: str, all_weights: bool, lr: float, seed: int) -> dict:
    drawn: Task = tasks.load(task, shots(task), seed, split=split, queries=50)
    steps = icl.learning_curve(model, drawn, lr, EPOCHS, optimizer, all_weights)
    few = marks_and_loss(icl.in_context(model, drawn))
    return {"epochs": EPOCHS, "curve": [marks_and_loss(step) for step in steps], "in_context": few}


DECIDES = ("icl", "gpt", "tasks", "support.examples", shots, marks_and_loss)
TEMPLATES = Study("templates", template_cells, try_template, (*DECIDES, development), real=True)
RATES = Study("rates", rate_cells, try_rate, (*DECIDES, development), real=True)
THREE_WAYS = Study("three_ways", three_way_cells, three_ways, DECIDES, real=True)
CURVE_RATES = Study("curve_rates", curve_cells("dev"), curve, DECIDES, real=True, steady=6)
# Many steps multiply rounding: another number of threads moves these losses by some per cent, on the same code.
CURVES = Study("curves", curve_cells("test"), curve, DECIDES, real=True, steady=3, rounded=("curve",))
STUDIES = (TEMPLATES, RATES, THREE_WAYS, CURVE_RATES, CURVES)


# --- What the lines say


def share(marks: str) -> float:
    """The share of right answers in a string of 0s and 1s."""
    return marks.count("1") / len(marks)


def best_rate(task: str) -> float:
    """The rate with the highest development accuracy, raw and bias removed averaged; where equal, the lowest loss."""
    found = RATES.frame(task=task)
    both = [(share(way["right"]) + share(way["calibrated"])) / 2 for way in found.finetuned]
    scores = found.assign(both=both, gain=[-way["loss"] for way in found.finetuned]).groupby("lr")[["both", "gain"]]
    return max(scores.mean().itertuples(), key=lambda rate: rate[1:]).Index


def best_curve_rate(optimizer: str, all_weights: bool) -> float:
    """The learning rate that reached the lowest development loss at any number of passes."""
    found = CURVE_RATES.frame(optimizer=optimizer, all_weights=all_weights)
    return float(found.lr[np.argmin([min(step["loss"] for step in steps) for steps in found.curve])])


def marks(task: str, way: str, kind: str = "right") -> np.ndarray:
    """Right (1) or wrong (0), recorded on the test split [draws, queries]; `kind` may be "calibrated"."""
    return np.array([[int(mark) for mark in found[kind]] for found in THREE_WAYS.frame(task=task)[way]])


def estimate(task: str, way: str, kind: str = "right") -> Estimate:
    """Mean accuracy over the recorded draws, with a 95 % bootstrap interval over the queries."""
    values = marks(task, way, kind).mean(0)
    return float(values.mean()), *metrics.bootstrap_interval(values)


def estimates(kind: str) -> dict[str, dict[str, Estimate]]:
    """Every task's three estimates, by task and way, as `plots.accuracies` takes them."""
    return {name: {WAYS[way]: estimate(name, way, kind) for way in WAYS} for name in (*CLASSIFIED, *FREE)}


def gain(task: str, kind: str = "right", way: str = "in_context") -> Estimate:
    """Accuracy minus zero-shot accuracy, paired by query, with a 95 % bootstrap interval over the queries."""
    values = (marks(task, way, kind) - marks(task, "zero_shot", kind)).mean(0)
    return float(values.mean()), *metrics.bootstrap_interval(values)


def recovery(task: str, kind: str = "right") -> tuple[int, int, float]:
    """Rec2FTP's counts over all recorded draws, hits and fixed, and the chance level."""
    zsl, few, tuned = (torch.tensor(marks(task, way, kind) == 1).flatten() for way in WAYS)
    return *metrics.rec2ftp_counts(zsl, few, tuned), metrics.chance_rec2ftp(zsl, few)


def accuracy_table() -> str:
    """The README's table: accuracy raw / bias removed, and the prompt's gain over zero-shot with its interval."""
    rows = []
    for name in (*CLASSIFIED, *FREE):
        kinds = ("right", "calibrated") if name in CLASSIFIED else ("right",)
        shown = [" / ".join(f"{estimate(name, way, kind)[0]:.2f}" for kind in kinds) for way in WAYS]
        gains = [with_interval(gain(name, kind), sign="+") for kind in kinds]
        rows.append([f"`{name}`", *shown, *gains, *[""] * (2 - len(kinds))])
    return markdown(pd.DataFrame(rows, columns=["task", *WAYS.values(), "gain in context, raw", "gain, bias removed"]))


def curves() -> dict[str, tuple[list[int], np.ndarray]]:
    """The recorded loss curves on `past`, by what was trained and how: passes, loss [draws, passes]."""
    names = {
        (optimizer, all_weights): f"{OPTIMIZER_NAMES[optimizer]}, {'all weights' if all_weights else 'keys and values'}"
        for all_weights in (False, True)
        for optimizer in LEARNING_RATES
    }
    found = CURVES.frame().groupby(["optimizer", "all_weights"])
    losses = {how: np.array([[step["loss"] for step in steps] for steps in rows.curve]) for how, rows in found}
    return {name: (list(EPOCHS), losses[how]) for how, name in names.items() if how in losses}


def curve_levels() -> np.ndarray:
    """The in-context loss of each draw that the curves were recorded with."""
    return np.array([found["loss"] for found in CURVES.frame().drop_duplicates("seed").in_context])


def loss_after(name: str, passes: int) -> float:
    """The loss of a recorded curve after so many passes, mean over the draws."""
    return curves()[name][1][:, EPOCHS.index(passes)].mean()
