"""Recorded runs: every figure that a laptop can't recompute in a minute, with what is needed to recompute it.

A recorded experiment is a grid of cells. A cell that is done is one line of data/results/NAME.jsonl, appended whole;
a run that was stopped goes on where it was: `python -m helpers results NAME`.
"""

import datetime
import functools
import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import transformers
from scipy import stats
from torch import Tensor
from tqdm.auto import tqdm

from helpers import gpt, icl, metrics, regression, tasks
from helpers.experiments import momentum, pretrained
from helpers.gpt import GPT, patches
from helpers.icl import Internals, Predictions
from helpers.support import ROOT, CourseError, cache
from helpers.support.provenance import code_hash
from helpers.tasks import Task, Template

FOLDER = ROOT / "data" / "results"
DRAWS = range(5)  # seeds of the demonstrations reported on the test split
DEV_DRAWS = (1000, 1001)  # seeds of the demonstrations on the development split
CLASSIFIED = ("mr", "mr-sst2", "subj", "source", "source-letters")
FREE = ("past", "antonym", "capital")
SENTIMENT = [("negative", "positive"), ("Negative", "Positive"), ("bad", "good"), ("terrible", "great")]
COLLECTIONS = [("movie", "product", "news", "tweet"), ("film", "shop", "newspaper", "Twitter")]
CANDIDATES = {  # task: patterns, label words ((),) as they are, and shots
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
RATES = {"sgd": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1), "adam": (3e-5, 1e-4, 3e-4, 1e-3)}
WAYS = {"zero_shot": "zero-shot", "in_context": "in context", "finetuned": "finetuned"}  # as recorded: as said
OPTIMIZER_NAMES = {"sgd": "SGD", "adam": "Adam"}
EPOCHS = (0, 1, 2, 4, 8)
INSIDE = ("mr", "source-letters", "past")  # the tasks looked into most closely
NO_RATE = 1e-30  # a finetuning that changes no bit


@dataclass(frozen=True)
class Experiment:
    """What is varied, and what is measured in one cell."""

    cells: Callable[[], Iterator[dict]]
    measure: Callable[..., dict]
    real: bool = True  # about the real GPT, which `measure` then takes first


def shots(name: str) -> int:
    """How many demonstrations the course shows: 32 sentences as the paper does, or 16 word pairs."""
    return 16 if name in FREE else 32


def of(predictions: Predictions) -> dict:
    """What is kept of one way of predicting: right or wrong for every query, raw and with label bias removed."""
    return {
        "right": "".join("01"[int(r)] for r in predictions.right),
        "calibrated": "".join("01"[int(r)] for r in predictions.calibrated().right),
        "loss": round(predictions.loss, 5),
    }


def template_cells() -> Iterator[dict]:
    for name, (patterns, words) in CANDIDATES.items():
        for pattern in patterns:
            for labels in words:
                for seed in DEV_DRAWS:
                    yield {"task": name, "pattern": pattern, "labels": list(labels), "seed": seed}


def try_template(model: GPT, task: str, pattern: str, labels: list[str], seed: int) -> dict:
    drawn = replace(
        tasks.load(task, shots(task), seed, split="dev", queries=dev_queries(task)), template=Template(pattern)
    )
    if labels:
        drawn = tasks.relabel(drawn, tuple(labels))
    return {"zero_shot": of(icl.zero_shot(model, drawn)), "in_context": of(icl.in_context(model, drawn))}


def dev_queries(name: str) -> int:
    return 50 if name in FREE else 100


def rate_cells() -> Iterator[dict]:
    for name in (*CLASSIFIED, *FREE):
        for lr in RATES["sgd"]:
            for seed in DEV_DRAWS:
                yield {"task": name, "lr": lr, "seed": seed}


def try_rate(model: GPT, task: str, lr: float, seed: int) -> dict:
    drawn = tasks.load(task, shots(task), seed, split="dev", queries=dev_queries(task))
    return {"zero_shot": of(icl.zero_shot(model, drawn)), "finetuned": of(icl.finetuned(model, drawn, lr))}


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
    return {way: of(predictions) for way, predictions in ways.items()}


def curve_cells(split: str) -> Callable[[], Iterator[dict]]:
    def cells() -> Iterator[dict]:
        for all_weights in (False, True):
            for optimizer in RATES:
                rates = RATES[optimizer] if split == "dev" else [best_curve_rate(optimizer, all_weights)]
                for lr in rates:
                    for seed in DEV_DRAWS[:1] if split == "dev" else DRAWS[:3]:
                        yield {
                            "split": split,
                            "task": "past",
                            "optimizer": optimizer,
                            "all_weights": all_weights,
                            "lr": lr,
                            "seed": seed,
                        }

    return cells


def curve(model: GPT, split: str, task: str, optimizer: str, all_weights: bool, lr: float, seed: int) -> dict:
    drawn: Task = tasks.load(task, shots(task), seed, split=split, queries=50)
    steps = icl.learning_curve(model, drawn, lr, EPOCHS, optimizer, all_weights)
    return {"epochs": EPOCHS, "curve": [of(step) for step in steps], "in_context": of(icl.in_context(model, drawn))}


def inside_cells() -> Iterator[dict]:
    for names, seeds, at in (
        (INSIDE, DRAWS, "answer"),
        (INSIDE, DRAWS[:3], "first_label"),
        ([name for name in (*CLASSIFIED, *FREE) if name not in INSIDE], DRAWS[:3], "answer"),
    ):
        for seed in seeds:
            for name in names:
                yield {"task": name, "lr": best_rate(name), "seed": seed, "at": at}


def inside(model: GPT, task: str, lr: float, seed: int, at: str) -> dict:
    """The paper's four measurements at one token, layer by layer, each with what chance or nothing makes of it."""
    drawn, look = tasks.load(task, shots(task), seed), {"internals": True, "at": at}
    with cache.bypassed():
        zsl, few = icl.zero_shot(model, drawn, **look), icl.in_context(model, drawn, **look)
        tuned, untouched = (icl.finetuned(model, drawn, rate, **look) for rate in (lr, NO_RATE))
        exact = icl.value_update(model, replace(drawn, queries=drawn.queries[:25]), lr)
    rows = compare(zsl.internals, few.internals, tuned.internals) | orders(few.internals, tuned.internals)
    attention = few.internals.demo_scores.sum(2)
    examples = [len(ids) for ids in icl.demo_ids(model, drawn)]
    rows["kendall untouched"] = metrics.kendall_taus(attention, untouched.internals.training_attention())
    rows["kendall examples"] = metrics.kendall_taus(
        *(by_example(a, examples) for a in (attention, tuned.internals.training_attention()))
    )
    rows["kendall exact"] = metrics.kendall_taus(attention[:25], exact.attention().sum(2)[..., exact.own])
    ways = {way: of(p) for way, p in (("zero_shot", zsl), ("in_context", few), ("finetuned", tuned))}
    return {"ways": ways, "layers": {name: per_layer(values) for name, values in rows.items()}}


def rounding_cells() -> Iterator[dict]:
    """The same finetuning with its rate moved by millionths: what rounding could as well have made of it."""
    for name, seeds, moves in (
        ("past", DRAWS, 3),
        ("antonym", DRAWS[:3], 2),
        ("source-letters", DRAWS[:2], 2),
        ("mr", DRAWS[:2], 2),
    ):
        for seed in seeds:
            for move in range(-moves, moves + 1):
                yield {"task": name, "lr": best_rate(name), "seed": seed, "millionths": move}


def rounding(model: GPT, task: str, lr: float, seed: int, millionths: int) -> dict:
    """Loss, accuracy and similarities, means over layers and 40 queries, after finetuning at lr · (1 + millionths)."""
    drawn = tasks.load(task, shots(task), seed, queries=40)
    with cache.bypassed():
        zsl, few = (way(model, drawn, internals=True) for way in (icl.zero_shot, icl.in_context))
        tuned = icl.finetuned(model, drawn, lr * (1 + millionths * 1e-6), internals=True)
    rows = compare(zsl.internals, few.internals, tuned.internals)
    means = {series: round(rows[series].nanmean().item(), 4) for series in ("sim_aou", "sim_aou raw", "sim_am after")}
    return {"zero_shot": of(zsl), "finetuned": of(tuned)} | means


def compare(zsl: Internals, few: Internals, tuned: Internals, seed: int = 0) -> dict[str, Tensor]:
    """SimAOU and SimAM with their nulls, for every query and layer [n layers]."""
    z, i, f = zsl.outputs, few.outputs, tuned.outputs
    rho = [(h - z).norm(dim=-1) / z.norm(dim=-1) for h in (i, f)]
    maps = zsl.query_scores, few.query_scores, tuned.query_scores
    noise = torch.randn(maps[0].shape, generator=torch.Generator().manual_seed(seed)) * (maps[0] != 0)
    noise = noise / noise.norm(dim=-1, keepdim=True) * (maps[2] - maps[0]).norm(dim=-1, keepdim=True)
    return {
        "sim_aou": metrics.aou_cosines(i, f, z),
        "sim_aou raw": metrics.aou_cosines(i, f, z, normalize=False),
        "sim_aou noise": metrics.noise_sim_aou(*rho),
        "rho icl": rho[0],
        "rho ft": rho[1],
        "sim_am before": metrics.am_cosines(maps[1], maps[0]),
        "sim_am after": metrics.am_cosines(maps[1], maps[2]),
        "sim_am noise": metrics.am_cosines(maps[1], maps[0] + noise),
    }


def orders(few: Internals, tuned: Internals, seed: int = 0) -> dict[str, Tensor]:
    """Kendall's τ of the prompt's attention with the paper's stand-in for finetuning's, and with a random map."""
    attention = few.demo_scores.sum(2)
    random = torch.rand(attention.shape, generator=torch.Generator().manual_seed(seed))
    return {
        "kendall": metrics.kendall_taus(attention, tuned.training_attention()),
        "kendall random": metrics.kendall_taus(attention, random),
    }


def by_example(scores: Tensor, lengths: list[int]) -> Tensor:
    """Scores of tokens [n layers tokens] as shares of whole examples [n layers examples], as in the paper's code."""
    return torch.stack([part.sum(-1) for part in scores.softmax(-1).split(lengths, dim=-1)], dim=-1)


def per_layer(values: Tensor) -> list[float | None]:
    """Mean over the queries, to four digits; None where undefined."""
    return [None if np.isnan(mean) else round(mean, 4) for mean in values.double().mean(0).tolist()]


DESIGNS = (("gaussian", 10, 10), ("gaussian", 20, 5), ("uniform", 10, 10))  # inputs, demonstrations, width


def one_step_cells() -> Iterator[dict]:
    for inputs, n, d in DESIGNS:
        for seed in range(6):
            yield {"inputs": inputs, "n": n, "d": d, "seed": seed}


def one_step(inputs: str, n: int, d: int, seed: int) -> dict:
    """A trained layer of linear attention beside the best single step, on 200,000 fresh tasks."""
    layer, test = (
        regression.learn(n, d, seed=seed, inputs=inputs).layers[0],
        regression.draw(200_000, n, d, 10**6, inputs),
    )
    lr = regression.best_step_size(test.inputs, test.targets, test.x, test.y)
    step = [regression.gd_as_attention(torch.zeros(1, d), lr)]
    matrix, said = regression.step_matrix(layer), [regression.predict(layers, test) for layers in ([layer], step)]
    losses = [regression.loss(predictions, test) for predictions in said]
    return {
        "learned": round(losses[0], 5),
        "best": round(losses[1], 5),
        "correlation": round(torch.corrcoef(torch.stack(said))[0, 1].item(), 6),
        "eta learned": round(n * matrix.diag().mean().item(), 4),
        "eta best": round(n * lr, 4),
        "off the diagonal": round((matrix - matrix.diag().diag()).abs().max().item() / matrix.diag().mean().item(), 4),
    }


def layer_cells() -> Iterator[dict]:
    for layers in (1, 2):
        for way in ("steps", "GD++"):
            yield {"way": way, "layers": layers, "seed": 0}
        for seed in range(5):
            yield {"way": "learned", "layers": layers, "seed": seed}


def layers_against_steps(way: str, layers: int, seed: int, n: int = 10, d: int = 10) -> dict:
    """Loss on 100,000 fresh tasks of stacked layers: learned, or gradient steps and GD++ with their numbers tuned."""
    test, numbers = regression.draw(100_000, n, d, 10**6, "uniform"), None
    if way == "learned":
        stack = regression.learn(n, d, layers, seed, 2000 * layers, inputs="uniform").layers
    else:
        plus = way == "GD++"  # every layer has a rate, and every one but the last moves the inputs to some use

        def build(*numbers: float) -> list[regression.Weights]:
            gammas = (*numbers[layers:], 0.0) if plus else [0.0] * layers
            return [regression.gd_plus_plus(d, abs(lr), gamma) for lr, gamma in zip(numbers, gammas, strict=False)]

        some = regression.draw(20_000, n, d, seed, "uniform")
        starts = [[0.15] * layers + [gamma] * ((layers - 1) * plus) for gamma in (0.0, 0.1, 0.2)]
        numbers = min((regression.tuned(build, start, some) for start in starts), key=lambda found: found[1])[0]
        stack = build(*numbers)
    return {"loss": round(regression.loss(regression.predict(stack, test), test), 5), "numbers": numbers}


def patch_cells() -> Iterator[dict]:
    for name in FREE:
        for seed in DRAWS[:3]:
            yield {"task": name, "seed": seed}


def patched_answers(model: GPT, task: str, seed: int, queries: int = 40, averaged: int = 16) -> dict:
    """First token of the answer right (1) or not, a mark a query: with the prompt, and without it under patches."""
    drawn = tasks.load(task, shots(task), seed, queries=queries)
    shown = [(demo.text, demo.label) for demo in drawn.demos]
    asked = [icl.build_prompt(drawn.template, [], query.text) for query in drawn.queries]
    prompt = icl.build_prompt(drawn.template, shown, drawn.queries[0].text).removesuffix(asked[0])
    made = [patches.absorb(model, prompt, text) for text in asked]
    marks, apart = {}, 0.0
    for place, (query, text) in enumerate(zip(drawn.queries, asked, strict=True)):
        others = [made[(place + step) % queries] for step in range(1, averaged + 1)]
        right = {ids[0] for ids in icl.answer_ids(model, drawn, query)}
        own, behind = made[place], patches.next_token(model, prompt + text)
        used = {"own": own, "another's": others[0], "mean": patches.mean(others)}
        used |= {"only weights": replace(own, shift=0 * own.shift), "only shift": replace(own, left=0 * own.left)}
        said = {"prompt": behind, "nothing": patches.next_token(model, text)}
        for name, patch in used.items():
            with patches.patched(model, patch):
                said[name] = patches.next_token(model, text)
        apart = max(apart, (said["own"] - behind).abs().max().item())
        for name, logits in said.items():
            marks[name] = marks.get(name, "") + "01"[logits.argmax().item() in right]
    return {"right": marks, "largest difference": float(f"{apart:.1e}")}


EXPERIMENTS = {
    "templates": Experiment(template_cells, try_template),
    "rates": Experiment(rate_cells, try_rate),
    "three_ways": Experiment(three_way_cells, three_ways),
    "inside": Experiment(inside_cells, inside),
    "rounding": Experiment(rounding_cells, rounding),
    "curve_rates": Experiment(curve_cells("dev"), curve),
    "curves": Experiment(curve_cells("test"), curve),
    "one_step": Experiment(one_step_cells, one_step, real=False),
    "layers": Experiment(layer_cells, layers_against_steps, real=False),
    "patches": Experiment(patch_cells, patched_answers),
    **{name: Experiment(*grid) for name, grid in pretrained.EXPERIMENTS.items()},
} | {name: Experiment(*grid, real=False) for name, grid in momentum.EXPERIMENTS.items()}


def read(name: str) -> list[dict]:
    """The recorded cells of an experiment: `cell`, `result` and where they come from."""
    path = FOLDER / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def share(marks: str) -> float:
    """The share of right answers in a string of 0s and 1s."""
    return marks.count("1") / len(marks)


def best_rate(task: str) -> float:
    """The rate with the highest development accuracy, raw and bias removed averaged; where equal, the lowest loss."""
    scores: dict[float, list[tuple[float, float]]] = {}
    for row in read("rates"):
        if row["cell"]["task"] == task:
            found = row["result"]["finetuned"]
            both = (share(found["right"]) + share(found["calibrated"])) / 2
            scores.setdefault(row["cell"]["lr"], []).append((both, -found["loss"]))
    if not scores:
        raise CourseError(f"No learning rate has been tried on {task!r} yet.\nRun: python -m helpers results rates")
    return max(scores, key=lambda lr: tuple(np.mean(scores[lr], axis=0)))


def best_curve_rate(optimizer: str, all_weights: bool) -> float:
    """The learning rate that reached the lowest development loss at any number of passes."""
    rows = [
        r for r in read("curve_rates") if (r["cell"]["optimizer"], r["cell"]["all_weights"]) == (optimizer, all_weights)
    ]
    if not rows:
        raise CourseError(
            "No learning rate has been tried for the curves yet.\nRun: python -m helpers results curve_rates"
        )
    return min(rows, key=lambda row: min(step["loss"] for step in row["result"]["curve"]))["cell"]["lr"]


def marks(task: str, way: str, kind: str = "right") -> np.ndarray:
    """Right (1) or wrong (0), recorded on the test split [draws, queries]; `kind` may be "calibrated"."""
    rows = [row["result"][way][kind] for row in read("three_ways") if row["cell"]["task"] == task]
    if not rows:
        raise CourseError(f"Nothing is recorded for {task!r} yet.\nRun: python -m helpers results three_ways")
    return np.array([[int(mark) for mark in row] for row in rows])


def estimate(task: str, way: str, kind: str = "right") -> tuple[float, float, float]:
    """Mean accuracy over the recorded draws, with a 95 % bootstrap interval over the queries."""
    values = marks(task, way, kind).mean(0)
    return float(values.mean()), *metrics.bootstrap_interval(values)


def estimates(kind: str) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Every task's three estimates, by task and way, as `plots.accuracies` takes them."""
    return {name: {WAYS[way]: estimate(name, way, kind) for way in WAYS} for name in (*CLASSIFIED, *FREE)}


def gain(task: str, kind: str = "right", way: str = "in_context") -> tuple[float, float, float]:
    """Accuracy minus zero-shot accuracy, paired by query, with a 95 % bootstrap interval over the queries."""
    values = (marks(task, way, kind) - marks(task, "zero_shot", kind)).mean(0)
    return float(values.mean()), *metrics.bootstrap_interval(values)


def table() -> str:
    """The README's table: accuracy raw / bias removed, and the prompt's gain over zero-shot with its interval."""
    lines = [f"| task | {' | '.join(WAYS.values())} | gain in context, raw | gain, bias removed |", "|---" * 6 + "|"]
    for name in (*CLASSIFIED, *FREE):
        kinds = ("right", "calibrated") if name in CLASSIFIED else ("right",)
        cells = [" / ".join(f"{estimate(name, way, kind)[0]:.2f}" for kind in kinds) for way in WAYS]
        gains = [fact(f"gain {name} {kind}") for kind in kinds] + ["" for _ in range(2 - len(kinds))]
        lines.append(f"| `{name}` | {' | '.join(cells + gains)} |")
    return "\n".join(lines)


def fact(key: str) -> str:
    """A number for prose: gain TASK [KIND [WAY]]; estimate or first TASK WAY [KIND]; inside TASK AT SERIES;
    rank TASK SERIES; recovery TASK [KIND]; level; curve NAME: PASSES; or one of `TABLES`."""
    if key in TABLES:
        return TABLES[key]()
    what, *arguments = key.split()
    if what == "inside":
        return f"{np.nanmean(layers(arguments[0], ' '.join(arguments[2:]), arguments[1])):.2f}".replace("-", "−")
    if what == "rank":
        found = stats.spearmanr(*against_loss(" ".join(arguments[1:]))[arguments[0]])
        return f"{found.statistic:.2f}".replace("-", "−")
    if what == "recovery":
        hits, fixed, chance = recovery(*arguments)
        return f"{hits} of {fixed} (chance {chance:.2f})"
    if what == "level":
        return f"{curve_levels().mean():.1f}"
    if what == "curve":
        name, passes = key.removeprefix("curve ").split(": ")
        epochs, losses = curves()[name]
        return f"{losses[:, epochs.index(int(passes))].mean():.1f}"
    if what == "first":  # the first draw, which notebook 04 also measures live
        return f"{marks(*arguments)[0].mean():.2f}"
    mean, low, high = {"estimate": estimate, "gain": gain}[what](*arguments)
    sign = "+" if what == "gain" else ""
    return f"{mean:{sign}.2f} ({low:{sign}.2f} to {high:{sign}.2f})".replace("-", "−")


def layers(task: str, series: str, at: str = "answer") -> np.ndarray:
    """One recorded measurement [draws, layers] at the answer's token or the first label's; nan where undefined."""
    rows = [
        row["result"]["layers"][series]
        for row in read("inside")
        if (row["cell"]["task"], row["cell"]["at"]) == (task, at)
    ]
    if not rows:
        raise CourseError(f"Nothing is recorded inside {task!r} yet.\nRun: python -m helpers results inside")
    return np.array(rows, dtype=float)


def recovery(task: str, kind: str = "right") -> tuple[int, int, float]:
    """Rec2FTP's counts over all recorded draws, hits and fixed, and the chance level."""
    zsl, few, tuned = (torch.tensor(marks(task, way, kind) == 1).flatten() for way in WAYS)
    return *metrics.rec2ftp_counts(zsl, few, tuned), metrics.chance_rec2ftp(zsl, few)


def inside_table() -> str:
    """The four measurements: mean over layers and draws [lowest, highest draw], each with its null."""

    def said(series: str, null: str = "", word: str = "") -> str:
        draws = np.nanmean(layers(task, series), axis=1)
        beside = f"; {word} {np.nanmean(layers(task, null)):.2f}" if null else ""
        return f"{draws.mean():.2f} [{draws.min():.2f}, {draws.max():.2f}]{beside}"

    lines = [
        "| task | Rec2FTP, raw | SimAOU | not normalised | SimAM, finetuned | Kendall | Kendall, exact |",
        "|---" * 7 + "|",
    ]
    for task in INSIDE:
        hits, fixed, chance = recovery(task)
        cells = [f"{hits}/{fixed}; chance {chance:.2f}" if fixed else "nothing was fixed"]
        cells += [said("sim_aou", "sim_aou noise", "noise"), said("sim_aou raw")]
        cells += [said("sim_am after", "sim_am before", "before"), said("kendall", "kendall untouched", "untrained")]
        lines.append(f"| `{task}` | {' | '.join([*cells, said('kendall exact')])} |".replace("-0.", "−0."))
    return "\n".join(lines)


def one_step_table() -> str:
    """Trained layers beside the best single step on the same tasks; over the seeds the worst, or lowest–highest."""
    lines = [
        "| inputs | n | d | loss ÷ best step's | correlation ≥ | η learned | η best | theory | off the diagonal |",
        "|---" * 9 + "|",
    ]
    for inputs, n, d in DESIGNS:
        rows = [
            r["result"]
            for r in read("one_step")
            if (r["cell"]["inputs"], r["cell"]["n"], r["cell"]["d"]) == (inputs, n, d)
        ]
        learned = [row["eta learned"] for row in rows]
        cells = [inputs, str(n), str(d), f"{max(row['learned'] / row['best'] for row in rows):.4f}"]
        cells += [f"{min(row['correlation'] for row in rows):.5f}", f"{min(learned):.3f}–{max(learned):.3f}"]
        cells += [f"{rows[0]['eta best']:.3f}", f"{n * regression.theory(n, d, inputs)[0]:.3f}"]
        lines.append(f"| {' | '.join(cells)} | {max(row['off the diagonal'] for row in rows):.1%} |")
    return "\n".join(lines)


def layers_table() -> str:
    """Loss of one and two layers: tuned gradient steps, tuned GD++, and learned [lowest–highest seed]."""
    lines = ["| layers | gradient steps | GD++ | learned |", "|---" * 4 + "|"]
    for layers in (1, 2):
        found = {way: [] for way in ("steps", "GD++", "learned")}
        for row in (row for row in read("layers") if row["cell"]["layers"] == layers):
            found[row["cell"]["way"]].append(row["result"]["loss"])
        low, high = min(found["learned"]), max(found["learned"])
        lines.append(f"| {layers} | {found['steps'][0]:.3f} | {found['GD++'][0]:.3f} | {low:.3f}–{high:.3f} |")
    return "\n".join(lines)


PATCHED = {
    "prompt": "with the prompt",
    "own": "own patch, no prompt",
    "another's": "another word's patch",
    "mean": "mean of 16 others'",
    "only weights": "own, without shifts",
    "only shift": "own, only shifts",
    "nothing": "nothing",
}


def patches_table() -> str:
    """Share of words whose answer's first token comes first, mean over the draws, under every patch."""
    lines = [f"| task | {' | '.join(PATCHED.values())} |", "|---" * (len(PATCHED) + 1) + "|"]
    for task in FREE:
        rows = [row["result"]["right"] for row in read("patches") if row["cell"]["task"] == task]
        cells = [f"{np.mean([share(row[name]) for row in rows]):.2f}" for name in PATCHED]
        lines.append(f"| `{task}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def last(result: dict) -> float:
    """Error after the most demonstrations."""
    return momentum.by_demonstrations(result)[-1]


def lm_gain(variant: str) -> str:
    """Test loss of the small language model below plain attention's, with its interval over seeds."""
    mean, low, high = momentum.estimate(-momentum.differences(read("lm"), variant))
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def lm_change(length: str) -> str:
    """Test loss of the small language model with a learned η, minus plain attention's, at a length of context."""
    apart = momentum.differences(read("lm"), "η learned", read=lambda result: result[length]["loss"])
    return f"{apart.mean():.2f}".replace("-", "−")


TABLES = {
    "table": inside_table,
    "one step": one_step_table,
    "layers": layers_table,
    "patches": patches_table,
    "lm": lambda: momentum.table(read("lm")),
    "regression in context": lambda: momentum.table(read("icl_regression"), read=last),
    "recall in context": lambda: momentum.table(read("recall"), read=last),
    "lm gain": lambda: lm_gain("η learned"),
    "lm gain recency": lambda: lm_gain("recency"),
    **{f"lm at {length}": functools.partial(lm_change, length) for length in ("256", "512", "1024")},
    "depth": lambda: momentum.depth_table(read("depth")),
    "pretrained test": lambda: pretrained.table(read("pretrained")),
    "pretrained past": lambda: pretrained.table(read("pretrained"), "past right"),
    "pretrained antonym": lambda: pretrained.table(read("pretrained"), "antonym right"),
    "pretrained etas": lambda: pretrained.eta_table(read("pretrained"), 3),
    "pretrained capital": lambda: pretrained.table(read("pretrained"), "capital right"),
}


def grouped(rows: Iterable[tuple[str, float, float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Points (name, x, y) as the x and the y of every name."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name, x, y in rows:
        found.setdefault(name, []).append((x, y))
    return {name: tuple(map(np.array, zip(*points, strict=True))) for name, points in found.items()}


def against_loss(series: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Per task, a point a finetuning: by how much it changed the loss, and a measurement's mean over layers."""
    rows = [(row["cell"]["task"], row["result"]) for row in read("rounding")]
    return grouped((task, r["finetuned"]["loss"] - r["zero_shot"]["loss"], r[series]) for task, r in rows)


def lengths(backward: bool = False, what: str = "seconds") -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The recorded cost of every form of attention: numbers of tokens, and seconds or bytes of one call."""
    return grouped((row["way"], row["n"], row[what]) for row in read("attention") if row["backward"] == backward)


def curves() -> dict[str, tuple[list[int], np.ndarray]]:
    """The recorded loss curves on `past`, by what was trained and how: passes, loss [draws, passes]."""
    found: dict[str, tuple[list[int], list]] = {}
    for row in read("curves"):
        cell = row["cell"]
        name = f"{OPTIMIZER_NAMES[cell['optimizer']]}, {'all weights' if cell['all_weights'] else 'keys and values'}"
        found.setdefault(name, (row["result"]["epochs"], []))[1].append(
            [step["loss"] for step in row["result"]["curve"]]
        )
    return {name: (epochs, np.array(values)) for name, (epochs, values) in found.items()}


def curve_levels() -> np.ndarray:
    """The in-context loss of each draw that the curves were recorded with."""
    return np.array(list({row["cell"]["seed"]: row["result"]["in_context"]["loss"] for row in read("curves")}.values()))


def show_source(name: str) -> None:
    """One line under a recorded figure: where its numbers come from."""
    made = read(name)[-1]["from"]
    versions = ", ".join(f"{package} {version}" for package, version in made["versions"].items())
    print(f"recorded {made['date']}: {made['model']}, {made['device']}, {versions}; again: {made['command']}")


def record(name: str) -> None:
    """Measure every cell of an experiment that is not recorded yet."""
    experiment, path = EXPERIMENTS[name], FOLDER / f"{name}.jsonl"
    done = [row["cell"] for row in read(name)]
    missing = [cell for cell in experiment.cells() if cell not in done]
    if not missing:
        print(f"{name}: all {len(done)} cells are recorded in {path.relative_to(ROOT)}")
        return
    model = gpt.load() if experiment.real else None
    for cell in tqdm(missing, desc=name, unit="cell"):
        start = time.perf_counter()
        result = experiment.measure(*([model] if experiment.real else []), **cell)
        row = {
            "cell": cell,
            "result": result,
            "from": provenance(model, name)
            | result.pop("about", {})
            | {"seconds": round(time.perf_counter() - start, 1)},
        }
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def provenance(model: GPT | None, name: str) -> dict:
    """Model, versions, device, date and command: what it takes to get the same numbers again."""
    about = {
        "model": "linear self-attention",
        "weights": "drawn and trained by the seed",
        "code": code_hash("regression", "dual")[:12],
    }
    device = f"cpu, {torch.get_num_threads()} threads, float32"
    if model is not None:
        about = {"model": model.name, "weights": model.fingerprint(), "code": code_hash("icl", "gpt")[:12]}
        device = f"{model.device.type}, {torch.get_num_threads()} threads, {str(model.dtype).removeprefix('torch.')}"
    return about | {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "device": device,
        "date": datetime.date.today().isoformat(),
        "command": f"python -m helpers results {name}",
    }
