"""The report of a check on a GPU: what a notebook says beside what it said when it was built, as Markdown and JSON."""

import json
import re
from itertools import groupby, zip_longest
from pathlib import Path

import nbformat
import pandas as pd
from nbformat import NotebookNode

from helpers import DEFAULT_MODEL
from helpers.experiments.tables import markdown
from helpers.support import cache

NUMBER = re.compile(r"[-−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")


def write(report: dict, place: Path) -> None:
    """Both forms, each whole or not at all."""
    for suffix, text in ((".json", json.dumps(report, indent=1, ensure_ascii=False) + "\n"), (".md", page(report))):
        with cache.whole(place.with_suffix(suffix)) as scratch:
            scratch.write_text(text, encoding="utf-8")


# --- Beside what is committed


def title(cell: NotebookNode) -> str:
    """How a cell begins."""
    return next((line for line in cell.source.splitlines() if line.strip()), "")[:100]


def compared(made: NotebookNode, committed: Path) -> dict:
    """How many lines of output there are, and those that differ from the same cell's committed ones."""
    before = {cell.id: lines(cell) for cell in nbformat.read(committed, as_version=4).cells}
    count, differences = 0, []
    for cell in made.cells:
        here = lines(cell)
        count += len(here)
        for there, line in zip_longest(before.get(cell.id, []), here, fillvalue=""):
            if there != line:
                differences.append({"cell": title(cell), "committed": there, "here": line, "apart": apart(there, line)})
    return {"lines": count, "differences": differences}


def lines(cell: NotebookNode) -> list[str]:
    """What a cell printed and showed, figures by their alternative texts; neither warnings nor errors."""
    outputs = cell.get("outputs", [])
    shown = [o.get("data", {}).get("text/plain", o.text if o.get("name") == "stdout" else "") for o in outputs]
    return [line.rstrip() for text in shown for line in text.splitlines() if line.strip()]


def apart(one: str, other: str) -> float | None:
    """The largest difference of two lines' numbers; None where more than numbers differs."""
    if NUMBER.sub("#", one).split() != NUMBER.sub("#", other).split():
        return None
    pairs = zip(*(map(_number, NUMBER.findall(line)) for line in (one, other)), strict=True)
    return max((round(abs(a - b), 9) for a, b in pairs), default=None)


def _number(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


# --- The page


def page(report: dict) -> str:
    """The report as Markdown; its first line says whether there was a GPU."""
    gpu = report["machine"].get("GPU")
    parts = [
        f"# GPU check: {gpu}" if gpu else "# GPU check without a GPU: everything below ran on the CPU",
        "\n".join(f"- {name}: {value}" for name, value in report["machine"].items()),
        *(f"Left out: {name}. {' '.join(reason.split())}" for name, reason in report["left out"].items()),
        "## Time and memory",
        markdown(pd.DataFrame([_row(found) for found in report["runs"]])),
        "Memory in GB: before the first cell, the peak, what arithmetic forecast for the peak beyond what was there"
        f" before ({'tensors on the GPU' if gpu else 'the whole process, with all that the page keeps'}).",
        *(_about(found) for found in report["runs"]),
    ]
    return "\n\n".join(parts) + "\n"


def _row(found: dict) -> dict[str, str]:
    sizes = {"before": found["before"], "peak": found["peak"], "forecast": found["forecast"]}
    gigabytes = {name: "" if size is None else f"{size / 1e9:.2f}" for name, size in sizes.items()}
    known = found["forecast"] and found["peak"] is not None
    share = f"{(found['peak'] - found['before']) / found['forecast']:.2f}" if known else ""
    counts = {"cells": str(found["cells"]), "failed": str(len(found["failed"]))}
    head = {"notebook": found["notebook"], "model": found["loaded"], "seconds": str(found["seconds"])}
    return head | counts | gigabytes | {"(peak − before) / forecast": share}


def _about(found: dict) -> str:
    """One run: what failed, then the lines that differ, side by side."""
    many, differences = found["compared"]["lines"], found["compared"]["differences"]
    parts = [f"## {found['notebook']} with {found['model']}"]
    if found["stopped"]:
        parts.append(f"**It stopped before its end.**\n\n```text\n{found['stopped']}\n```")
    for failed in found["failed"]:
        parts.append(f"**Failed:** `{failed['cell']}`: {failed['error']}\n\n```text\n{failed['traceback']}\n```")
    other = "" if found["model"] == DEFAULT_MODEL else " Those are another model's numbers."
    parts.append(f"{many} lines of output; {len(differences)} differ from what is committed.{other}")
    for cell, its in groupby(differences, key=lambda difference: difference["cell"]):
        parts.append("\n".join(["```text", cell, *map(_beside, its), "```"]))
    return "\n\n".join(parts)


def _beside(difference: dict) -> str:
    by = "" if difference["apart"] is None else f"   (by {difference['apart']:g})"
    return f"  committed  {difference['committed']}\n  here       {difference['here']}{by}"


def outcome(found: dict) -> str:
    """One run in one line."""
    ends = "; it stopped before its end" if found["stopped"] else ""
    return f"  {found['seconds']} s, {len(found['failed'])} of {found['cells']} cells failed{ends}"
