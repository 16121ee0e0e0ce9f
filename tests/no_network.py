"""A command in a network namespace of its own, in which there is nothing but the loopback."""

import os
import shutil
import subprocess
import sys

LOOPBACK = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP_RUNNING = 0x8914, 0x41
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP_RUNNING))
os.execvp(sys.argv[1], sys.argv[1:])
"""  # a new namespace has its loopback down, and Jupyter talks to its kernels over it


def without_network(*command):
    """The command that runs `command` there."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--net", *as_root, sys.executable, "-c", LOOPBACK, *map(str, command)]


def refused():
    """Why there can be no such namespace here; empty where there can."""
    if shutil.which("unshare") is None:
        return "no network namespaces here: there is no unshare"
    done = subprocess.run(without_network(sys.executable, "-c", ""), capture_output=True, text=True)
    return f"no network namespaces here: {done.stderr.strip()}" if done.returncode else ""
