"""An environment that a host made, as on Colab or Binder: what the notebooks lack is added, what they use stays.

Read before anything is installed: the standard library and `packaging`, which every Jupyter has.
"""

from __future__ import annotations

import importlib
import os
import re
import tempfile
import time
from pathlib import Path

from helpers import LARGER_MODEL
from helpers.course import setup
from helpers.course.requirements import DISPENSABLE, installed, missing, out_of_range, requirements
from helpers.support import ROOT, CourseError

KERNEL = (  # loaded in a running kernel, or made for it
    *("google-colab", "ipykernel", "ipython", "ipywidgets", "jupyter-client", "jupyter-core", "jupyter-server"),
    *("jupyterlab", "notebook", "pyzmq", "requests", "tornado", "traitlets"),
)
PUBLIC = re.compile(r"[0-9][0-9A-Za-z.!+_-]*")  # a version that pip can be held to


def image() -> int:
    """For Binder, which starts kernels later: the course itself becomes a package of the environment too."""
    setup.install("--no-deps", "--editable", ROOT)
    return main()


def main() -> int:
    """Add what is missing, fetch model and sentences, say how long it took."""
    start = time.perf_counter()
    complete()
    from helpers.course import assets

    assets.ensure()
    print(f"The course is ready ({time.perf_counter() - start:.0f} s).", flush=True)
    return 0


def complete() -> None:
    """Install what the notebooks need and this environment lacks. Raises CourseError with pip's last words."""
    if not setup.torch_version():
        setup.install_torch()
    if wanted := missing():
        names = ", ".join(package.name for package in wanted)
        print(f"Adding what is missing (what is here stays): {names}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "kept.txt"
            kept.write_text("".join(f"{line}\n" for line in frozen()), encoding="utf-8")
            setup.install("--constraint", kept, *map(str, wanted))
        importlib.invalidate_caches()
    if still := missing():
        raise CourseError(
            f"Still missing after installing: {', '.join(package.name for package in still)}.\n"
            "Restart the kernel (on Colab: Runtime, Restart session) and run this cell again."
        )
    for kept in out_of_range():
        print(f"Note: {kept} is not in the range that the course is tested with; it stays, since the host needs it.")


def larger_model() -> None:
    """On a GPU: the paper's 1.3B model from the hub, so that gpt.load() takes it; without it the course goes on."""
    import torch

    if not torch.cuda.is_available():
        return
    from huggingface_hub import snapshot_download

    from helpers.gpt import KNOWN

    print(f"A GPU is here: fetching {KNOWN[LARGER_MODEL]} for it (2.6 GB, once).", flush=True)
    try:
        snapshot_download(KNOWN[LARGER_MODEL], endpoint=os.environ.get("HF_ENDPOINT"))
    except Exception as error:  # of any kind: the hub's, the network's, the disk's; none may stop the course
        reason = str(error).strip().partition("\n")[0]
        print(f"It could not be had ({type(error).__name__}: {reason[:200]}).\nThe course goes on with its own model.")


def frozen() -> list[str]:
    """What the notebooks and their kernel use, at the versions that are here, as pip reads it: none may change.

    Only these: a host's older idna or anyio must make room where a newer package asks for it.
    """
    names = {*KERNEL, *(wanted.name for wanted in requirements() if wanted.name not in DISPENSABLE)}
    here = {name: version for name in names if (version := installed(name))}
    return [f"{name}=={version}" for name, version in sorted(here.items()) if PUBLIC.fullmatch(version)]
