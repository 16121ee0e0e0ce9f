"""Time and memory of causal attention against its length: softmax (torch's own), linear as product, recurrence, chunks.

    python -m helpers bench attention

8 heads of width 64 in float32, forward, and forward with backward. Every way at every length runs in a process of its
own, so that its peak memory, above what was there before the first call, is its own.
"""

import datetime
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from evaluation import bench_python, machine
from torch.nn.functional import scaled_dot_product_attention

from helpers import attention, metrics, plots
from helpers.experiments import results
from helpers.support import ROOT, formats

HEADS, WIDTH = 8, 64
LENGTHS = tuple(2**power for power in range(7, 15))
WAYS: dict[str, Callable] = {
    "softmax (torch)": lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    "linear, parallel": attention.linear_attention,
    "linear, recurrent": lambda q, k, v: attention.recurrent_linear_attention(q, k, v)[0],
    "linear, chunked": attention.chunked_linear_attention,
    "normalised, chunked": attention.normalized_linear_attention,
}
ROOM = 6e9  # bytes; what would take more is left out
SECONDS = 1.0  # a length is timed for about as long


def timed(way: str, n: int, backward: bool) -> dict:
    """Median seconds of one call and the bytes it needs on top; to be run in a process of its own."""
    rng = torch.Generator().manual_seed(n)
    q, k, v = (torch.randn(1, HEADS, n, WIDTH, generator=rng).requires_grad_(backward) for _ in range(3))
    g = torch.randn(1, HEADS, n, WIDTH, generator=rng)

    def once() -> float:
        start = time.perf_counter()
        out = WAYS[way](q, k, v)
        if backward:
            torch.autograd.grad(out, (q, k, v), g)
        return time.perf_counter() - start

    small = [x[:, :, :16] for x in (q, k, v)]
    WAYS[way](*small)  # libraries are loaded before memory is measured
    before = peak()
    once()
    after = peak()
    torch.ones(7 * 2**20).sum()  # 28 MB come and go, as in any process at work: from now on glibc keeps what is freed
    seconds = [once()]
    while sum(seconds) < SECONDS or len(seconds) < 4:
        seconds.append(once())
    return {"seconds": float(f"{np.median(seconds[1:]):.3g}"), "bytes": after - before}


def peak() -> int:
    """The most bytes that this process has held. (On Linux `ru_maxrss` begins with what its parent held.)"""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def needs(way: str, n: int, backward: bool) -> float:
    """Bytes that the tables or states of one call take, about."""
    table, states = 4 * HEADS * n**2, 4 * HEADS * n * WIDTH**2
    return {"linear, parallel": (4 if backward else 2) * table, "linear, recurrent": 3 * states * backward}.get(way, 0)


def cells() -> Iterator[tuple[str, int, bool]]:
    for backward in (False, True):
        for way in WAYS:
            yield from ((way, n, backward) for n in LENGTHS if needs(way, n, backward) < ROOM)


def public() -> dict:
    """Values and time beside performer-pytorch's causal linear attention, which runs on a CPU; in its environment."""
    from performer_pytorch.performer_pytorch import causal_linear_attention_noncuda as theirs
    from torch.nn.functional import elu

    q, k, v = (torch.randn(1, HEADS, 2048, WIDTH) for _ in range(3))
    seconds = {"theirs": [], "ours": []}
    for _ in range(5):
        for name in seconds:
            start = time.perf_counter()
            theirs(elu(q) + 1, elu(k) + 1, v) if name == "theirs" else attention.normalized_linear_attention(q, k, v)
            seconds[name].append(time.perf_counter() - start)
    q, k, v = (x[:, :, :512].double() for x in (q, k, v))
    apart = theirs(elu(q) + 1, elu(k) + 1, v, eps=0) - attention.normalized_linear_attention(q, k, v)
    medians = {name: float(f"{np.median(times):.3g}") for name, times in seconds.items()}
    return {"way": "performer-pytorch", "largest_difference": float(f"{apart.abs().max():.1e}")} | medians


def origin() -> dict:
    """What was timed, on what, and how to do it again."""
    return machine("cpu") | {
        "model": "attention alone",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "device": f"cpu, {torch.get_num_threads()} threads, float32",
        "date": datetime.date.today().isoformat(),
        "command": "python -m helpers bench attention",
    }


def main() -> None:
    """Measure every cell in a process of its own and write data/results/attention.jsonl."""
    about, rows = origin(), []
    for way, n, backward in cells():
        command = [sys.executable, __file__, way, str(n), str(int(backward))]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        rows.append({"way": way, "n": n, "backward": backward} | json.loads(done.stdout) | {"from": about})
        print({name: rows[-1][name] for name in ("way", "n", "backward", "seconds", "bytes")}, flush=True)
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    done = subprocess.run([bench_python(), __file__, "public"], cwd=ROOT, capture_output=True, text=True, check=True)
    print(done.stdout)
    beside = json.dumps(json.loads(done.stdout) | {"from": about})
    (results.FOLDER / "public.jsonl").write_text(beside + "\n", encoding="utf-8")
    (results.FOLDER / "attention.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(table())
    title = "Measured: softmax and the table bend up, the others hardly"
    picture = results.FOLDER / "attention.png"
    plots.lines(results.lengths(), "tokens n", "seconds a call, forward", title, log="xy", save=picture)


def table() -> str:
    """The README's table: seconds forward and backward, memory, and exponents over the upper half of the lengths."""
    lengths = (512, 2048, 8192)
    head = [
        "way",
        *(f"{n:,} forward" for n in lengths),
        *(f"{n:,} with backward" for n in lengths),
        "MB at 8,192",
        "grows as",
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for way in WAYS:
        cells = []
        for backward in (False, True):
            found = dict(zip(*results.lengths(backward)[way], strict=True))
            cells += [formats.seconds(found[n]) if n in found else "–" for n in lengths]
        n, seconds = results.lengths()[way]
        memory = dict(zip(*results.lengths(what="bytes")[way], strict=True)).get(8192)
        cells += [f"{memory / 1e6:,.0f}" if memory is not None else "–", f"n^{metrics.exponent(n, seconds):.2f}"]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:] == ["public"]:
        print(json.dumps(public()))
    elif len(sys.argv) > 1:
        print(json.dumps(timed(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1")))
    else:
        main()
