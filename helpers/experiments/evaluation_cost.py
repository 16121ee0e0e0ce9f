"""How long a hundred queries of 32 demonstrations take, five ways, on the same queries in one run; and how that grows.

Each way runs in a process of its own, so that its peak memory is its own. lm-evaluation-harness runs in an environment
of its own (.venv-bench), which borrows torch and transformers from the course. The floor is arithmetic: what the linear
layers and attention must compute, over the speed of a matrix product measured in the same run.
"""

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from helpers import DEFAULT_MODEL, gpt, icl, metrics, tasks
from helpers.experiments.accuracy import best_rate
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown
from helpers.gpt import GPT
from helpers.support import ROOT, CourseError, cache, formats
from helpers.support.memory import peak
from helpers.tasks import Task

HARNESS = "0.4.13"
ENVIRONMENT = ROOT / ".venv-bench"
QUERIES, SHOTS = 100, 32
TRIED = {"shots": (1, 2, 4, 8, 16, 32, 64), "queries": (10, 30, 100, 300, 1000), "width": (192, 384, 576, 768, 1152)}
WAYS = {  # name: how often it is timed, the median counts
    "plain loop, all logits": 1,
    "plain loop, last logits": 1,
    f"lm-evaluation-harness {HARNESS}": 1,
    "ours": 5,
    "ours, with internals": 5,
    "whole task, all measurements": 3,
}


@torch.no_grad()
def plain(model: GPT, task: Task) -> list[list[float]]:
    """One forward pass for every query and label, as one writes it first."""
    return [
        [_label(model, icl.prompt_ids(model, task, query), answer) for answer in icl.answer_ids(model, task, query)]
        for query in task.queries
    ]


def _label(model: GPT, prompt: list[int], answer: list[int]) -> float:
    logits = model.network(torch.tensor([prompt + answer], device=model.device)).logits[0].float().log_softmax(-1)
    return logits[range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer].mean().item()


@torch.no_grad()
def plain_last(model: GPT, task: Task) -> list[list[float]]:
    """One forward pass for every query, its last logits only: enough where every label is one token."""
    rows = []
    for query in task.queries:
        ids = torch.tensor([icl.prompt_ids(model, task, query)], device=model.device)
        logprobs = model.network(ids, logits_to_keep=1).logits[0, -1].float().log_softmax(-1)
        rows.append([logprobs[label].item() for (label,) in icl.answer_ids(model, task, query)])
    return rows


def harness(model: GPT, task: Task) -> list[list[float]]:
    """lm-evaluation-harness on the same token ids; it shares one pass between labels of one token."""
    from lm_eval.models.huggingface import HFLM

    judge = HFLM(pretrained=model.network, tokenizer=model.tokenizer, batch_size=1)
    asked = [
        (("", ""), icl.prompt_ids(model, task, query), answer)
        for query in task.queries
        for answer in icl.answer_ids(model, task, query)
    ]
    scores = [s / len(ids) for (s, _), (_, _, ids) in zip(judge._loglikelihood_tokens(asked, True), asked, strict=True)]
    return np.array(scores).reshape(len(task.queries), -1).tolist()


def whole(model: GPT, task: Task) -> list[list[float]]:
    """Three ways with internals, and the four measurements."""
    zsl, few = (way(model, task, internals=True) for way in (icl.zero_shot, icl.in_context))
    tuned = icl.finetuned(model, task, best_rate(task.name), internals=True)
    metrics.rec2ftp(zsl.right, few.right, tuned.right)
    metrics.update_similarities(zsl.internals, few.internals, tuned.internals)
    metrics.rank_correlations(few.internals, tuned.internals)
    return few.scores.tolist()


def scores(way: str, model: GPT, task: Task) -> list[list[float]]:
    """The scores of every query and label, by one of `WAYS`."""
    if way.startswith("plain"):
        return (plain if way.endswith("all logits") else plain_last)(model, task)
    if way.startswith("lm-eval"):
        return harness(model, task)
    if way.startswith("whole"):
        return whole(model, task)
    return icl.in_context(model, task, internals=way.endswith("internals")).scores.tolist()


def timed(way: str) -> dict:
    """Seconds of each run, peak memory and scores; in a process of its own, in which nothing is remembered."""
    model, task = gpt.load(DEFAULT_MODEL), tasks.load("mr", SHOTS, seed=0, queries=QUERIES)
    seconds = []
    with cache.bypassed():
        scores(way, model, replace(task, queries=task.queries[:2]))  # the first pass also reads weights from the disk
        for _ in range(WAYS[way]):
            start = time.perf_counter()
            found = scores(way, model, task)
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_gb": round(peak() / 1e9, 2), "scores": found}


def in_a_process(way: str) -> dict:
    python = bench_python() if way.startswith("lm-eval") else sys.executable
    done = subprocess.run([python, "-m", __name__, way], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise CourseError(f"{way} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def bench_python() -> Path:
    """The harness's environment; made at the first run: it sees the course's packages, the course doesn't see its."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True, symlinks=os.name != "nt")
        site = next(ENVIRONMENT.glob("lib/python*/site-packages"), ENVIRONMENT / "Lib" / "site-packages")
        (site / "course.pth").write_text(f"{Path(torch.__file__).parents[1]}\n{ROOT}\n")
        subprocess.run([python, "-m", "pip", "install", "--quiet", f"lm-eval[hf]=={HARNESS}"], check=True)
    return python


def work(model: GPT, task: Task) -> float:
    """Floating-point operations that scoring a task's queries needs: linear layers, attention, and the logits read."""
    layers, heads, width = model.attention_shape
    prefix = len(icl.prefix_ids(model, task))
    own = [len(icl.query_ids(model, task, query)) for query in task.queries]
    matrices = sum(w.numel() for name, w in model.network.named_parameters() if w.dim() == 2 and "embed" not in name)
    pairs = prefix * (prefix + 1) / 2 + sum(n * prefix + n * (n + 1) / 2 for n in own)
    read = len(own) * model.network.config.vocab_size * model.network.config.hidden_size
    return 2 * matrices * (prefix + sum(own)) + 4 * layers * heads * width * pairs + 2 * read


def matmul_rate(model: GPT, size: int = 2048) -> float:
    """Floating-point operations a second of this machine's best matrix product: the median of five."""
    a, b = (torch.randn(size, size, device=model.device, dtype=model.dtype) for _ in range(2))
    rates = []
    for _ in range(6):
        start = time.perf_counter()
        (a @ b).sum().item()
        rates.append(2 * size**3 / (time.perf_counter() - start))
    return float(np.median(rates[1:]))


def speed(model: GPT, task: str, shots: int, queries: int) -> dict:
    """Every way on the same queries, and the floor."""
    rate, rows, expected = matmul_rate(model), {}, None
    for way in reversed(WAYS):  # ours first, so that a slow way can't heat the machine for it
        found = in_a_process(way)
        marks = np.array(found["scores"])
        expected = marks if expected is None else expected
        rows[way] = {
            "seconds": round(float(np.median(found["seconds"])), 2),
            "peak_gb": found["peak_gb"],
            "spread": [round(min(found["seconds"]), 2), round(max(found["seconds"]), 2)],
            "largest_difference": float(f"{np.abs(marks - expected).max():.1e}"),
            "same_decisions": bool((marks.argmax(1) == expected.argmax(1)).all()),
        }
    rate = (rate + matmul_rate(model)) / 2  # before and after
    seconds = work(model, tasks.load(task, shots, seed=0, queries=queries)) / rate
    return {"floor": {"seconds": round(seconds, 2), "gflop_per_second": round(rate / 1e9)}} | rows


def scale_cells() -> Iterator[dict]:
    for axis, values in TRIED.items():
        yield from ({"axis": axis, "value": value} for value in values)


def scale(model: GPT, axis: str, value: int) -> dict:
    """Seconds of ours against shots, queries and model size (random weights: time doesn't ask what they know)."""
    size = {"shots": SHOTS, "queries": QUERIES} | ({axis: value} if axis != "width" else {})
    task, seconds = tasks.load("mr", size["shots"], seed=0, queries=size["queries"]), []
    model = random_model(model, value) if axis == "width" else model
    for _ in range(4):
        start = time.perf_counter()
        icl._evaluate(model, task)
        seconds.append(time.perf_counter() - start)
    x = sum(w.numel() for w in model.network.parameters()) if axis == "width" else value
    return {"x": x, "seconds": round(float(np.median(seconds[1:])), 3)}


def random_model(model: GPT, width: int) -> GPT:
    """The default model's architecture at another width, with random weights."""
    config = type(model.network.config)(**model.network.config.to_dict())
    config.hidden_size, config.intermediate_size, config.head_dim = width, width * 8 // 3, 64
    config.num_attention_heads, config.num_key_value_heads = width // 64, max(1, width // 192)
    network = type(model.network)(config).to(model.dtype).eval().requires_grad_(False)
    return GPT(network, model.tokenizer, f"random, width {width}")


SPEED_CELL = {"task": "mr", "shots": SHOTS, "queries": QUERIES}
SPEED = Study(
    "speed",
    lambda: [SPEED_CELL],
    speed,
    ("icl", "gpt", "tasks", "support.examples", "metrics", scores, timed),
    real=True,
)
SCALE = Study("scale", scale_cells, scale, ("icl", "gpt", "tasks", "support.examples", random_model), real=True)
STUDIES = (SPEED, SCALE)


# --- What the lines say


def speed_table() -> str:
    """The README's table of speed, from what was recorded."""
    (row,), shown = SPEED.rows(), []
    found = row["result"]
    ours, floor = found["ours"]["seconds"], found["floor"]["seconds"]
    for way in ("floor", *reversed(WAYS)):
        name = "floor: the arithmetic alone" if way == "floor" else way
        memory = f"{found[way]['peak_gb']:.2f} GB" if "peak_gb" in found[way] else ""
        shown.append([name, f"{found[way]['seconds']:.1f}", f"{found[way]['seconds'] / ours:.3g}", memory])
    table = markdown(pd.DataFrame(shown, columns=["way", "seconds", "times ours", "peak memory"]))
    where = ", ".join(row["from"]["machine"].split(", ")[:2])
    return f"{table}\n\n{floor / ours:.0%} of the floor's speed; made on {where}."


def exponents() -> dict[str, float]:
    """By which power of its size seconds grow along every axis."""
    found = SCALE.frame().groupby("axis", sort=False)
    return {axis: formats.exponent(rows.x.to_numpy(), rows.seconds.to_numpy()) for axis, rows in found}


if __name__ == "__main__":
    print(json.dumps(timed(sys.argv[1])))
