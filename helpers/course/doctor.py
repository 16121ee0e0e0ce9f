"""What this machine has, and for each problem what to do. Only a problem that stops the course makes it fail."""

import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from packaging.requirements import Requirement

from helpers.course import assets
from helpers.course.requirements import AUTHORS, DISPENSABLE, installed, requirements
from helpers.support import CourseError, cache, progress

MARKS = {"ok": "ok", "note": "note", "stop": "STOP"}
LIMITS = (  # where a control group states what it allows and what is used
    (".", "memory.max", "memory.current"),
    (".", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
CLOSE = "The notebooks with the real GPT need up to 1.9 GB: close other programs or other notebooks' kernels."
ELSEWHERE = "Let COURSE_CACHE name a folder that can be written; what is computed is not kept until then."


@dataclass(frozen=True)
class Finding:
    """One line of the report: "ok", "note" (the course runs all the same) or "stop"."""

    what: str
    status: str
    seen: str
    do: str = ""


def report() -> list[Finding]:
    """Look at everything the course needs."""
    looks = _python, _device, _memory, _disk, _progress
    return [*(look() for look in looks), *map(_asset, assets.ASSETS), *_packages()]


def _python() -> Finding:
    fits = sys.version_info >= (3, 11)
    return Finding(
        "Python", "ok" if fits else "stop", platform.python_version(), "" if fits else "Install Python 3.11 or newer."
    )


def _packages() -> list[Finding]:
    """torch, and every package that is missing or out of its range; the others in one line."""
    listed = requirements()
    absent = {wanted.name for wanted in listed if wanted.name in AUTHORS and installed(wanted.name) is None}
    findings = [_package(wanted) for wanted in listed if wanted.name not in absent]
    shown = [found for found in findings if found.what == "torch" or found.status != "ok"]
    rest = f"{len(findings) - len(shown)} others in range"
    unneeded = f"; {len(absent)} that only authors need are not here" if absent else ""
    return [*shown, Finding("packages", "ok", rest + unneeded)]


def _package(wanted: Requirement) -> Finding:
    """Whether a package is installed, in the range that the course is tested with."""
    trouble = "note" if wanted.name in DISPENSABLE else "stop"
    version = installed(wanted.name)
    if version is None:
        return Finding(wanted.name, trouble, "missing", "Run: python -m helpers setup")
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding(
            wanted.name,
            trouble,
            f"{version}, out of range",
            f"The course needs {wanted.specifier}. Run: python -m helpers setup",
        )
    return Finding(wanted.name, "ok", version)


def _device() -> Finding:
    try:
        import torch
    except ImportError:
        return Finding("device", "note", "unknown without torch")
    if not torch.cuda.is_available():
        return Finding("device", "ok", f"CPU, {torch.get_num_threads()} threads")
    return Finding("device", "ok", f"{torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[0] / 1e9:.0f} GB free")


def _memory() -> Finding:
    allowed = container_memory()
    free = min(psutil.virtual_memory().available, *([] if allowed is None else [allowed])) / 1e9
    return Finding("memory", "ok" if free > 2 else "note", f"{free:.1f} GB free", "" if free > 2 else CLOSE)


def container_memory(folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that a container may still use, by its control group of version 2 or 1; None where no limit is stated."""
    free = []
    for place, limit, usage in LIMITS:
        allowed = _stated(folder / place / limit)
        if allowed is not None:
            used = (_stated(folder / place / usage) or 0) - _reclaimable(folder / place / "memory.stat")
            free.append(max(0, allowed - max(0, used)))
    return min(free, default=None)


def _stated(file: Path) -> int | None:
    """The number in a file of a control group; None where there is none, as in "max"."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _reclaimable(file: Path) -> int:
    """Bytes of files in memory, given back when a program needs them: they count as use, but are free."""
    try:
        rows = dict(line.split() for line in file.read_text().splitlines())
        return int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def _disk() -> Finding:
    where = cache.folder()
    needed = sum(asset.megabytes for name, asset in assets.ASSETS.items() if not assets.intact(name)) / 1000
    if reason := assets.unwritable(where):
        return Finding("cache", "stop" if needed else "note", f"can't be written: {reason}", ELSEWHERE)
    free = shutil.disk_usage(next(p for p in (where, *where.parents) if p.exists())).free / 1e9
    if free < needed:
        return Finding(
            "disk",
            "stop",
            f"{free:.1f} GB free",
            f"Set-up needs {needed:.1f} GB: make room, or let COURSE_CACHE name a folder elsewhere.",
        )
    return Finding("disk", "ok", f"{free:.1f} GB free")


def _progress() -> Finding:
    file = progress.path()
    try:
        progress.current()
    except CourseError as error:
        return Finding("progress", "note", "can't be read", str(error).replace("\n", " "))
    if reason := assets.unwritable(file.parent):
        return Finding("progress", "note", f"can't be written: {reason}", "Let COURSE_PROGRESS name another file.")
    return Finding("progress", "ok", file.name)


def _asset(name: str) -> Finding:
    if assets.intact(name):
        return Finding(name, "ok", "ready")
    first = "" if assets.unwritable(cache.folder()) else "Run: python -m helpers setup"  # which couldn't keep it
    return Finding(name, "stop", "missing", first)


def show(findings: list[Finding] | None = None) -> None:
    """The report as a table; what to do stands under it."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    findings = report() if findings is None else findings
    table = Table("", "seen", "", box=box.SIMPLE_HEAD)
    for found in findings:
        table.add_row(found.what, found.seen, MARKS[found.status])
    console = Console(width=100, highlight=False)
    console.print(table)
    for found in findings:
        if found.do:
            console.print(f"{MARKS[found.status]}: {found.what}: {found.do}")


def main() -> int:
    """Show the report; 1 if something stops the course."""
    findings = report()
    show(findings)
    return int(any(found.status == "stop" for found in findings))
