"""What this machine has, and for each problem what to do. Only a problem that stops the course makes it fail."""

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from helpers.course import assets
from helpers.support import cache

MARKS = {"ok": "ok", "note": "note", "stop": "STOP"}


@dataclass(frozen=True)
class Finding:
    """One line of the report: "ok", "note" (the course runs all the same) or "stop"."""

    what: str
    status: str
    seen: str
    do: str = ""


def report() -> list[Finding]:
    """Look at everything the course needs."""
    return [look() for look in (_python, _torch, _device, _memory, _disk, *map(_asset, assets.ASSETS), _lab, _widgets)]


def _python() -> Finding:
    fits = sys.version_info >= (3, 11)
    return Finding(
        "Python", "ok" if fits else "stop", platform.python_version(), "" if fits else "Install Python 3.11 or newer."
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _installed(what: str, package: str, status: str, lowest: tuple[int, int]) -> Finding:
    """Whether a package is there and new enough; `status` is what its absence means."""
    version = _version(package)
    if version is None:
        return Finding(what, status, "missing", "Run: python -m helpers setup")
    if tuple(int(part) for part in version.split(".")[:2]) < lowest:
        return Finding(
            what,
            status,
            f"{version}, too old",
            f"The course needs {'.'.join(map(str, lowest))} or newer. Run: python -m helpers setup",
        )
    return Finding(what, "ok", version)


def _torch() -> Finding:
    return _installed("torch", "torch", "stop", (2, 6))


def _device() -> Finding:
    if _version("torch") is None:
        return Finding("device", "note", "unknown without torch")
    import torch

    if not torch.cuda.is_available():
        return Finding("device", "ok", f"CPU, {torch.get_num_threads()} threads")
    return Finding("device", "ok", f"{torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[0] / 1e9:.0f} GB free")


def _memory() -> Finding:
    free = psutil.virtual_memory().available / 1e9
    do = (
        ""
        if free > 2
        else "The notebooks with the real GPT need up to 1.6 GB: close other programs or other notebooks' kernels."
    )
    return Finding("memory", "note" if do else "ok", f"{free:.1f} GB free", do)


def _disk() -> Finding:
    where = cache.folder()
    free = shutil.disk_usage(next(p for p in (where, *where.parents) if p.exists())).free / 1e9
    needed = sum(asset.megabytes for name, asset in assets.ASSETS.items() if not assets.intact(name)) / 1000
    if free < needed:
        return Finding(
            "disk",
            "stop",
            f"{free:.1f} GB free",
            f"Set-up needs {needed:.1f} GB: make room, or let COURSE_CACHE name a folder elsewhere.",
        )
    return Finding("disk", "ok", f"{free:.1f} GB free")


def _asset(name: str) -> Callable[[], Finding]:
    def look() -> Finding:
        here = assets.intact(name)
        return Finding(
            name,
            "ok" if here else "stop",
            "ready" if here else "missing",
            "" if here else "Run: python -m helpers setup",
        )

    return look


def _lab() -> Finding:
    return _installed("JupyterLab", "jupyterlab", "note", (4, 0))


def _widgets() -> Finding:
    return _installed("widgets", "ipywidgets", "note", (8, 0))


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
