"""How long a hundred queries of 32 demonstrations take, five ways, on the same queries in one run; and how that grows.

    python -m helpers bench [speed] [scale]

Each way runs in a process of its own, so that its peak memory is its own. lm-evaluation-harness runs in an environment
of its own (.venv-bench), which borrows torch and transformers from the course. The floor is arithmetic: what the linear
layers and attention must compute, over the speed of a matrix product measured in the same run.
"""

import json
import os
import platform
import resource
import subprocess
import sys
import time
import venv
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from helpers import gpt, icl, metrics, tasks
from helpers.experiments import results
from helpers.gpt import GPT
from helpers.support import ROOT
from helpers.tasks import Task

HARNESS, PERFORMER = "0.4.13", "1.1.4"
ENVIRONMENT = ROOT / ".venv-bench"
QUERIES, SHOTS = 100, 32
SHOTS_TRIED, QUERIES_TRIED, WIDTHS = (1, 2, 4, 8, 16, 32, 64), (10, 30, 100, 300, 1000), (192, 384, 576, 768, 1152)
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


def measured(model: GPT, task: Task) -> list[list[float]]:
    """Three ways with internals, and the four measurements."""
    zsl, few = icl._evaluate(model, replace(task, demos=()), "answer"), icl._evaluate(model, task, "answer")
    kept = icl._train(model, task, results.best_rate(task.name), (1,), "sgd", False, "answer")
    tuned = icl._unfold(kept, "1 ")
    metrics.rec2ftp(zsl.right, few.right, tuned.right)
    results.compare(zsl.internals, few.internals, tuned.internals)
    results.orders(few.internals, tuned.internals)
    return few.scores.tolist()


def run(way: str, model: GPT, task: Task) -> list[list[float]]:
    """The scores of every query and label, by one of `WAYS`."""
    if way.startswith("plain"):
        return (plain if way.endswith("all logits") else plain_last)(model, task)
    if way.startswith("lm-eval"):
        return harness(model, task)
    if way.startswith("whole"):
        return measured(model, task)
    return icl._evaluate(model, task, "answer" if way.endswith("internals") else None).scores.tolist()


def timed(way: str, queries: int) -> None:
    """In a process of its own: print seconds, peak memory and scores as JSON."""
    model, task = gpt.load(), tasks.load("mr", SHOTS, seed=0, queries=queries)
    run(way, model, replace(task, queries=task.queries[:2]))  # the first pass also reads the weights from the disk
    seconds = []
    for _ in range(WAYS[way]):
        start = time.perf_counter()
        scores = run(way, model, task)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds, "peak_gb": round(peak, 2), "scores": scores}))


def in_a_process(way: str, queries: int) -> dict:
    python = bench_python() if way.startswith("lm-eval") else sys.executable
    command = [python, __file__, "timed", way, str(queries)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def bench_python() -> Path:
    """The harness's environment; made at the first run: it sees the course's packages, the course doesn't see its."""
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True, symlinks=os.name != "nt")
        site = next(ENVIRONMENT.glob("lib/python*/site-packages"), ENVIRONMENT / "Lib" / "site-packages")
        shared = Path(torch.__file__).parents[1]
        (site / "course.pth").write_text(f"{shared}\n{ROOT}\n")
        others = [f"lm-eval[hf]=={HARNESS}", f"performer-pytorch=={PERFORMER}"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *others], check=True)
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


def machine(device: str) -> dict:
    """What was timed on, "cpu" or "cuda", and what else it was doing."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(": ")[1] for line in lines if line.startswith("model name")), platform.processor())
    name = torch.cuda.get_device_name() if device == "cuda" else cpu
    return {
        "machine": f"{name}, {os.cpu_count()} cores",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def write(name: str, rows: list[dict], model: GPT, about: dict) -> None:
    made = about | results.provenance(model, name) | {"command": f"python -m helpers bench {name}"}
    lines = [json.dumps(row | {"from": made}, ensure_ascii=False) for row in rows]
    (results.FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def speed() -> None:
    """Every way on the same queries, and the floor."""
    model, task = gpt.load(), tasks.load("mr", SHOTS, seed=0, queries=QUERIES)
    about, rate = machine(model.device.type), matmul_rate(model)
    rows, expected = [], None
    for way in reversed(WAYS):  # ours first, so that a slow way can't heat the machine for it
        found = in_a_process(way, QUERIES)
        scores = np.array(found["scores"])
        expected = scores if expected is None else expected
        row = {"way": way, "seconds": round(float(np.median(found["seconds"])), 2), "peak_gb": found["peak_gb"]}
        row |= {"spread": [round(min(found["seconds"]), 2), round(max(found["seconds"]), 2)]}
        row |= {"largest_difference": float(f"{np.abs(scores - expected).max():.1e}")}
        rows.append(row | {"same_decisions": bool((scores.argmax(1) == expected.argmax(1)).all())})
        print(row, flush=True)
    rate = (rate + matmul_rate(model)) / 2  # before and after
    floor = {"way": "floor", "seconds": round(work(model, task) / rate, 2), "gflop_per_second": round(rate / 1e9)}
    write("speed", [floor, *reversed(rows)], model, about)
    print(table())


def table() -> str:
    """The README's table of speed, from what was recorded."""
    rows = {row["way"]: row for row in results.read("speed")}
    ours, floor = rows["ours"]["seconds"], rows["floor"]["seconds"]
    lines = ["| way | seconds | times ours | peak memory |", "|---" * 4 + "|"]
    for way in ("floor", *reversed(WAYS)):
        row = rows[way]
        said = "floor: the arithmetic alone" if way == "floor" else way
        memory = f"{row['peak_gb']:.2f} GB" if "peak_gb" in row else ""
        lines.append(f"| {said} | {row['seconds']:.1f} | {row['seconds'] / ours:.3g} | {memory} |")
    return "\n".join(
        [*lines, "", f"{floor / ours:.0%} of the floor's speed; made on {rows['ours']['from']['machine']}."]
    )


def scale() -> None:
    """Seconds of ours against shots, queries and model size (random weights: time doesn't ask what they know)."""
    model, rows = gpt.load(), []
    about = machine(model.device.type)
    for shots in SHOTS_TRIED:
        rows.append({"axis": "shots", "x": shots} | ours(model, tasks.load("mr", shots, seed=0, queries=QUERIES)))
    for queries in QUERIES_TRIED:
        rows.append({"axis": "queries", "x": queries} | ours(model, tasks.load("mr", SHOTS, seed=0, queries=queries)))
    for width in WIDTHS:
        sized = random_model(model, width)
        size = sum(w.numel() for w in sized.network.parameters())
        rows.append({"axis": "parameters", "x": size} | ours(sized, tasks.load("mr", SHOTS, seed=0, queries=QUERIES)))
    write("scale", rows, model, about)
    for axis, power in exponents().items():
        print(f"{axis}: seconds grow as {axis}^{power:.2f} over the upper half of what was tried")


def ours(model: GPT, task: Task) -> dict:
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        icl._evaluate(model, task)
        seconds.append(time.perf_counter() - start)
    print(task.name, len(task.demos), len(task.queries), [round(s, 2) for s in seconds], flush=True)
    return {"seconds": round(float(np.median(seconds[1:])), 3)}


def random_model(model: GPT, width: int) -> GPT:
    """The default model's architecture at another width, with random weights."""
    config = type(model.network.config)(**model.network.config.to_dict())
    config.hidden_size, config.intermediate_size, config.head_dim = width, width * 8 // 3, 64
    config.num_attention_heads, config.num_key_value_heads = width // 64, max(1, width // 192)
    network = type(model.network)(config).to(model.dtype).eval().requires_grad_(False)
    return GPT(network, model.tokenizer, f"random, width {width}")


def exponents() -> dict[str, float]:
    """By which power of its size seconds grow along every axis."""
    rows = ((row["axis"], row["x"], row["seconds"]) for row in results.read("scale"))
    return {axis: metrics.exponent(*points) for axis, points in results.grouped(rows).items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["timed"]:
        timed(sys.argv[2], int(sys.argv[3]))
    else:
        for name in sys.argv[1:] or ["speed", "scale"]:
            {"speed": speed, "scale": scale}[name]()
