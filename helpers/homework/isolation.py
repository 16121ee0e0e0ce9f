"""What a submission may not do, told to the operating system: limits, and on Linux a small world of its own.

Standard library only: the process that runs a submission loads this file by its path. Each step that the system does
not allow is left out, and `achieved` says so: many containers allow no namespaces, macOS has none.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

MEMORY = 1 << 30  # bytes beyond what the interpreter has at the start
SECONDS = 150  # of processor time
FILE = 16 << 20  # bytes of one file, and nearly all that is in its own /tmp
FILES, PROCESSES = 64, 16  # at once; threads count as processes
NOBODY = 60_000  # the first of many users that own nothing: one for each interpreter, so that limits are its own
USERS = 5_000

NEW_USER, NEW_NETWORK, NEW_MOUNTS, NEW_PROCESSES, NEW_IPC = 0x10000000, 0x40000000, 0x20000, 0x20000000, 0x08000000
READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
DROP_BOUND, DIE_WITH_PARENT, NO_NEW_PRIVILEGES, ADOPT = 24, 1, 38, 36  # of prctl
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def _libc(name: str, *args: object) -> None:
    """A call of the C library; raises OSError where it fails."""
    library = ctypes.CDLL(None, use_errno=True)
    kinds = {str: str.encode, int: ctypes.c_ulong}
    if getattr(library, name)(*(kinds.get(type(arg), lambda other: other)(arg) for arg in args)) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def separate() -> bool:
    """Give this process's children no network, no other processes, mounts of their own; whether that is allowed."""
    if sys.platform != "linux":
        return False
    own = 0 if os.geteuid() == 0 else NEW_USER
    user, group = os.geteuid(), os.getegid()
    try:
        _libc("prctl", ADOPT, 1, 0, 0, 0)
        _libc("unshare", own | NEW_NETWORK | NEW_MOUNTS | NEW_PROCESSES | NEW_IPC)
        if own:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{NOBODY} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{NOBODY} {group} 1")
    except (OSError, AttributeError):
        return False
    return True


def end_all(child: int) -> None:
    """End a child, and its children, which come to this process when theirs ends: none is forgotten."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while True:
        known = map(int, children.read_text().split()) if children.exists() else ()
        for end, process in ((os.killpg, child), *((os.kill, process) for process in (child, *known))):
            with contextlib.suppress(OSError):
                end(process, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def first_to_go() -> None:
    """Where memory is short, the system ends this process and its children before any other."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def confine(separated: bool, empty: str, hidden: Iterable[str], number: int) -> list[str]:
    """In the child: files, user and limits, in this order; says what of "network", "processes", "files" is stopped.

    `empty` is an empty folder to build on, `hidden` are folders that must not be seen even where Python lies above.
    """
    achieved = ["network", "processes"] if separated else []
    if separated:
        with contextlib.suppress(OSError):
            _little_world(empty, hidden)
            achieved.append("files")
    _give_up_root(NOBODY + number % USERS)
    _limit(separated)
    return achieved


def _little_world(root: str, hidden: Iterable[str]) -> None:
    """A root of its own with nothing in it but Python and the system's libraries, all read-only, and a small /tmp."""
    _libc("mount", None, "/", None, RECURSIVE | PRIVATE, None)
    _libc("mount", "tmpfs", root, "tmpfs", NO_SUID | NO_DEVICES, "size=1m,nr_inodes=4096,mode=755")
    for path in ("/tmp", "/dev/shm"):
        os.makedirs(root + path)
        size = f"size={2 * FILE},nr_inodes=1024,mode=1777"
        _libc("mount", "tmpfs", root + path, "tmpfs", NO_SUID | NO_DEVICES, size)
    for path in _bound():
        _bind(path, root)
    for path in DEVICES:
        _bind(path, root, as_is=True)
    for path in hidden:
        if os.path.isdir(root + path):
            _libc("mount", "tmpfs", root + path, "tmpfs", READ_ONLY | NO_SUID | NO_DEVICES, "size=4k,mode=755")
    os.makedirs(root + "/proc")
    with contextlib.suppress(OSError):  # some containers don't allow it; it is only missing then
        _libc("mount", "proc", root + "/proc", "proc", NO_SUID | NO_DEVICES | NO_EXEC, None)
    _libc("mount", None, root, None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES, None)
    os.chdir(root)
    _libc("pivot_root", ".", ".")
    _libc("umount2", ".", DETACH)  # the old root, which lies over the new one now
    os.chdir("/tmp")


def _bound() -> list[str]:
    """Where Python and the system's libraries lie, none below another."""
    wanted = [*SYSTEM, sys.base_prefix, sys.prefix, *(path for path in sys.path if os.path.isdir(path))]
    found: list[str] = []
    for path in sorted({os.path.abspath(path) for path in wanted}, key=len):
        if os.path.exists(path) and not any(f"{path}/".startswith(f"{above}/") for above in found):
            found.append(path)
    return found


def _bind(path: str, root: str, as_is: bool = False) -> None:
    """Let a file or folder be seen below `root`, read-only."""
    if os.path.isdir(path):
        os.makedirs(root + path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        Path(root + path).touch()
    _libc("mount", path, root + path, None, BIND | RECURSIVE, None)
    if not as_is:
        kept = os.statvfs(path).f_flag & NO_EXEC  # what is forbidden there must stay so, or this is not allowed
        _libc("mount", None, root + path, None, REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEVICES | kept, None)


def _give_up_root(user: int) -> None:
    """Be nobody, and never again anybody else."""
    if sys.platform == "linux":
        for privilege in range(64):
            with contextlib.suppress(OSError):
                _libc("prctl", DROP_BOUND, privilege, 0, 0, 0)
    if os.geteuid() == 0 and _readable_by_all():
        with contextlib.suppress(OSError):
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
    if sys.platform == "linux":
        _libc("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
        _libc("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _libc("prctl", DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)


def _readable_by_all() -> bool:
    """Whether Python can still be read by another user: with an own root it can, else not below /root."""
    above = {above for path in (sys.prefix, sys.base_prefix) for above in (Path(path), *Path(path).parents)}
    return all(folder.stat().st_mode & 1 for folder in above)


def _limit(separated: bool) -> None:
    """What it may use. Its own processes are counted only where they can be told from the user's others."""
    limits = {"CPU": SECONDS, "FSIZE": FILE, "NOFILE": FILES, "CORE": 0}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 1 << 20
        limits["AS"] = pages * resource.getpagesize() + MEMORY
    if separated or os.geteuid() >= NOBODY:
        limits["NPROC"] = PROCESSES
    for name, most in limits.items():
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
