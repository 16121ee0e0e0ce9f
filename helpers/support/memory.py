"""What this process has taken of the machine's memory."""

import sys
from pathlib import Path

import psutil


def peak() -> int:
    """The most bytes that this process has held; on macOS at least as many as its parent held when it began."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource  # there is none on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
