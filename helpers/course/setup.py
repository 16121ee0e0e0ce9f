"""From a bare machine to a working environment. Standard library only: nothing is installed yet when this runs."""

from __future__ import annotations  # a Python too old for `X | Y` still gets as far as being told so

import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from helpers.course import offline, pip
from helpers.support import ROOT, CourseError

ENVIRONMENT = ROOT / ".venv"
STAMP = ".course-ready"  # in the environment: what it was made from; absent while it is being made
TORCH = "2.13.0"
TORCH_RANGE = ("2.6", "3")  # an installed torch between these is kept; as in requirements.txt
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CPU_SOURCES = (["--no-index"], ["--index-url", CPU_INDEX, "--retries", "1"])  # "+cpu": pip may look elsewhere too
PIP_FLAGS = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
HERE = {"PIP_USER": "0", "PIP_TARGET": "", "PIP_PREFIX": "", "PIP_ROOT": ""}  # whatever pip's settings say of places
REMEDIES = {
    "hash": "A proxy may change downloads: use another network, then run",
    "disk": "Make room, then run",
    "network": "Check the network, then run",
    "archive": "The archive's packages are for a newer system: make one on a system like this, then run there",
    "": "Mend what pip names there, then run",
}
ADDRESS = re.compile(r'\n\[project\.urls\]\nRepository = "[^"\n]*"\n')  # as publish writes it; changes no package


def python() -> Path:
    """The interpreter the course runs in: the one running if it is in an environment or on Colab, else .venv's."""
    if sys.prefix != sys.base_prefix or "COLAB_RELEASE_TAG" in os.environ or _chosen():
        return Path(sys.executable)
    return ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _chosen() -> bool:
    """Whether the Python that runs is that of the active conda environment, or of Binder's image.

    One can be active while another Python runs.
    """
    active = filter(None, map(os.environ.get, ("CONDA_PREFIX", "NB_PYTHON_PREFIX")))
    return os.path.realpath(sys.prefix) in map(os.path.realpath, active)


def stamp() -> Path:
    """The file that says what the environment was made from; it lies in the environment itself."""
    return (ENVIRONMENT if ENVIRONMENT in python().parents else ROOT / "build") / STAMP


def made_from() -> str:
    """What the environment is made from, as one hash."""
    files = [(ROOT / name).read_bytes() for name in ("requirements.txt", "requirements.lock", "pyproject.toml")]
    files[-1] = ADDRESS.sub("", files[-1].decode()).encode()
    facts = [TORCH, sys.version, str(ROOT), os.path.realpath(python().parent)]
    return hashlib.sha256(b"".join([*files, *map(str.encode, facts)])).hexdigest()


def ready() -> bool:
    """Whether the environment was made from today's files, to the end."""
    return python().exists() and stamp().is_file() and stamp().read_text() == made_from()


def environment() -> None:
    """Make or complete the environment; a second run finds the stamp and does nothing. Raises CourseError."""
    if ready():
        return
    offline.check()
    if sys.version_info < (3, 11):
        raise CourseError(
            f"This is Python {sys.version.split()[0]}; the course needs 3.11 or newer.\n"
            "Install one (python.org) and run the same command with it."
        )
    stamp().unlink(missing_ok=True)
    if python() != Path(sys.executable):
        _say("1/3 environment: .venv")
        _create()
    _say("2/3 torch")
    install_torch()
    _say("3/3 everything else (about 250 MB, one to three minutes the first time)")
    keep_jupyterlab_plain()
    if ENVIRONMENT in python().parents:
        install("--require-hashes", "--no-deps", "--requirement", ROOT / "requirements.lock")
        install("--no-deps", "--no-build-isolation", "--editable", ROOT)
    else:  # somebody else's environment: what is there and fits is kept
        install("--requirement", ROOT / "requirements.txt")
        install("--no-deps", "--editable", ROOT)
    stamp().parent.mkdir(exist_ok=True)
    stamp().write_text(made_from())


def keep_jupyterlab_plain() -> None:
    """Switch off, before the graders come, what they would add to JupyterLab."""
    subprocess.run([python(), Path(__file__).with_name("extensions.py")], check=True)


def _create() -> None:
    if python().exists() and not subprocess.run([python(), "-c", "import pip"], capture_output=True).returncode:
        return
    try:
        venv.create(ENVIRONMENT, with_pip=True, clear=True, symlinks=os.name != "nt")
    except (subprocess.CalledProcessError, OSError) as error:
        raise CourseError(
            f"The environment {ENVIRONMENT.name} could not be made ({error}).\n"
            "On Debian or Ubuntu: apt install python3-venv. Otherwise make room, and run the same command again."
        ) from error


def install_torch() -> None:
    """Keep a torch that fits; else a CPU build, unless there is an NVIDIA GPU; the CUDA build never unasked."""
    have = torch_version()
    if have and _within(have):
        _say(f"    torch {have} is installed and stays")
    elif offline.is_bundle():
        _say("    the CPU build, out of the archive")
        install("--no-deps", f"torch=={TORCH}")
    elif sys.platform != "linux":
        _say("    the ordinary build: about 100 MB")
        install(f"torch=={TORCH}")
    elif shutil.which("nvidia-smi") or not _cpu_torch():
        _say("    the CUDA build: about 3 GB to download, 7 GB on disk")
        install(f"torch=={TORCH}")


def _cpu_torch() -> bool:
    """A wheel at hand, else PyTorch's own index. False if neither has it and the CUDA build may be taken instead."""
    _say("    the CPU build: about 190 MB")
    for source in CPU_SOURCES:
        if install("--no-deps", *source, f"torch=={TORCH}+cpu", must=False):
            return True
    if os.environ.get("COURSE_TORCH") == "any" or os.environ.get("CI") == "true":  # nobody to ask on a CI machine
        return False
    raise CourseError(
        "PyTorch's CPU build could not be had: download.pytorch.org can't be reached, or has none for this Python.\n"
        "Try again on another network; or take the CUDA build, about 3 GB: COURSE_TORCH=any python -m helpers setup"
    )


def torch_version() -> str | None:
    """The version of torch in the course's environment, without importing it."""
    code = "import importlib.metadata as m; print(m.version('torch'))"
    done = subprocess.run([python(), "-c", code], capture_output=True, text=True)
    found = done.stdout.strip()
    return found if found[:1].isdigit() else None  # "None" where an installation broke off


def _within(version: str) -> bool:
    low, high = (tuple(map(int, bound.split("."))) for bound in TORCH_RANGE)
    return low <= tuple(int(part) for part in version.split("+")[0].split(".")[:2]) < high


def install(*arguments: str | Path, must: bool = True) -> bool:
    """Run pip in the course's environment. Raises CourseError with pip's last words, unless the step may fail."""
    command = [python(), "-m", "pip", "install", *PIP_FLAGS, *arguments]
    settings = offline.pip_settings() | HERE
    status, log = pip.run(command, settings)
    if status and must:
        raise CourseError(
            f"Installing stopped: {pip.last_words(log)}\n"
            f"{REMEDIES[_cause(log)]} the same command again: what is installed stays installed."
        )
    return not status


def _cause(log: str) -> str:
    """What stopped pip; it blames the network also where there is none to look in."""
    cause = pip.cause(log)
    return "archive" if cause == "network" and offline.is_bundle() else cause


def run(*arguments: str) -> int:
    """Run a verb inside the environment; returns its exit status."""
    inside = {"PYTHONPATH": str(ROOT)} | dict(os.environ)
    return subprocess.run([python(), "-m", "helpers", *arguments], cwd=ROOT, env=inside).returncode


def lock() -> None:
    """Write requirements.lock: every dependency but torch, for all platforms, with hashes."""
    without_torch = ROOT / "build" / "without-torch.txt"
    without_torch.parent.mkdir(exist_ok=True)
    without_torch.write_text("torch; sys_platform == 'never'\n")
    flags = "--universal --python-version 3.11 --generate-hashes --no-annotate --no-config --no-emit-package torch"
    command = [Path(sys.executable).parent / "uv", "pip", "compile", *flags.split()]
    command += ["--custom-compile-command", "python -m helpers lock", "--override", without_torch]
    command += ["requirements.txt", "--output-file", "requirements.lock"]
    quiet = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "UV_"))}
    subprocess.run(command, cwd=ROOT, env=quiet, check=True, stdout=subprocess.DEVNULL)


def _say(line: str) -> None:
    print(line, flush=True)
