"""On Colab and Binder: what the notebooks lack is added, what they use stays. Real pip, real kernels, a real clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from helpers.course import address, hosted, setup, verbs
from helpers.course.requirements import installed
from helpers.support import ROOT, cache

# What Colab has of what matters here. ipywidgets 7: seen in a project's report of 2026-09-17; numpy, pandas, IPython,
# ipykernel, tqdm and requests: in reports of 2025. Its list of today can't be had here; transformers is our lowest.
COLAB = (
    *("ipykernel==6.17.1", "ipython==7.34.0", "ipywidgets==7.7.1", "numpy==2.0.2", "pandas==2.2.2", "requests==2.32.3"),
    *("transformers==5.0.0", "matplotlib==3.10.0", "scipy==1.16.0", "scikit-learn==1.6.1", "seaborn==0.13.2"),
    *("networkx", "sympy", "tqdm", "rich", "filelock", "packaging", "psutil", "platformdirs", "safetensors", "pip"),
)
KEPT = ("torch", "transformers", "numpy", "ipywidgets", "pandas", "ipython", "ipykernel")


def versions(python, names=KEPT):
    code = "import importlib.metadata as m, sys; print(*map(m.version, sys.argv[1:]))"
    return subprocess.run([python, "-c", code, *names], capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """A bare environment with Colab's versions, a kernel of its own, and torch as this machine has it."""
    folder = tmp_path_factory.mktemp("colab")
    uv, python = Path(sys.executable).with_name("uv"), folder / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "env"], check=True)
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *COLAB], check=True)
    site = Path(next((folder / "env").glob("lib/python*/site-packages")))
    here = Path(next(Path(sys.prefix).glob("lib/python*/site-packages")))
    for part in (*here.glob("torch"), *here.glob("torchgen"), *here.glob("torch-*.dist-info")):
        shutil.copytree(part, site / part.name, copy_function=os.link)
    command = [python, "-m", "ipykernel", "install", "--prefix", folder / "env", "--name", "colab"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def on_colab(colab, monkeypatch):
    """Run cells there: the course is "on GitHub" as this checkout has it committed, the cache is this machine's."""
    monkeypatch.setenv("JUPYTER_PATH", str(colab / "env" / "share" / "jupyter"))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONPATH", "VIRTUAL"))}
    env |= {
        "COLAB_RELEASE_TAG": "test",
        "COURSE_CACHE": str(cache.folder()),
        "GIT_CONFIG_COUNT": "1",  # git's own way to take one address for another
        "GIT_CONFIG_KEY_0": f"url.file://{ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://github.com/ada/course",
    }

    def run(*sources, **more):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        client = NotebookClient(
            nbformat.v4.new_notebook(cells=cells),
            timeout=600,
            kernel_name="colab",
            resources={"metadata": {"path": str(colab)}},
        )
        client.execute(env=env | more)
        return ["".join(o.get("text", "") for o in cell.outputs) for cell in cells]

    return run


@pytest.mark.real
def test_the_set_up_cell_on_colab(colab, on_colab):
    """It fetches the course and what is missing, keeps what Colab has, restarts nothing, and may be run twice."""
    python = colab / "env" / "bin" / "python"
    before = versions(python)
    cell = address.setup_cell("ada/course")
    first, again, loaded, answered = on_colab(
        "import numpy, ipywidgets, os; number = os.getpid()\n" + cell,  # Colab has these loaded when a page opens
        cell,
        "from helpers import gpt\nmodel = gpt.load()\nprint(model.name, os.getpid() == number)",
        "from helpers.widgets import microscope, predict, toy_head, valley\n"
        'predict("reason", "Why?", ["a", "b"]); valley(); microscope({"toy": toy_head()})\n'
        'print(gpt.complete(model, "see -> saw\\ngo ->", tokens=2))',
    )
    assert "Adding what is missing" in first
    assert "gguf" in first
    assert re.search(r"The course is ready \(\d+ s\)\.", first)
    assert "Adding" not in again
    assert "ready" in again
    assert loaded.strip() == "smollm2-135m True"
    assert answered.strip()
    assert versions(python) == before


@pytest.mark.real
def test_colab_without_the_package_index_is_told_in_two_lines(colab, on_colab):
    python = colab / "env" / "bin" / "python"
    remove = [sys.executable, "-m", "pip", "--python", python, "uninstall", "--quiet", "--yes", "jaxtyping"]
    subprocess.run(remove, check=True, env=os.environ | {"PIP_USER": "0"})
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    (said,) = on_colab(address.setup_cell("ada/course"), **offline)
    trouble = said.strip().splitlines()[-2:]
    assert trouble[0].startswith("Installing stopped: ")
    assert trouble[1].startswith("Check the network")


def test_elsewhere_the_set_up_cell_does_nothing(tmp_path):
    body = address.setup_cell("ada/course").splitlines()
    assert body[0].startswith('if __import__("os").getenv("COLAB_RELEASE_TAG"):')
    assert all(line.startswith("    ") for line in body[1:])


def test_what_is_held_is_what_the_notebooks_and_their_kernel_use():
    held = dict(line.split("==") for line in hosted.frozen())
    assert held["torch"] == installed("torch")
    assert {"numpy", "transformers", "ipywidgets", "ipykernel"} <= held.keys()
    assert not {"pytest", "ruff", "setuptools"} & held.keys()


def test_a_gpu_without_the_hub_costs_two_lines(monkeypatch, capsys):
    """The larger model is asked for, can't be had, and the course goes on."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    hosted.larger_model()
    said = capsys.readouterr().out.strip().splitlines()
    assert "fetching KoboldAI/fairseq-dense-1.3B" in said[0]
    assert said[1].startswith("It could not be had")
    assert said[2:] == ["The course goes on with its own model."]


def test_binder_builds_with_a_python_that_the_course_takes_and_verbs_that_exist():
    runtime = (ROOT / "binder" / "runtime.txt").read_text().strip()
    assert re.fullmatch(r"python-3\.(1[1-4])", runtime)
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    for verb in re.findall(r"python -m helpers (\w+)", script.read_text()):
        assert verb in {**verbs.OUTSIDE, **verbs.INSIDE}
    layout = re.search(r"cp -r (\S+) ", script.read_text())[1]
    assert [*(ROOT / layout).glob("*/package.json")]


def test_binders_python_is_the_courses(monkeypatch):
    """No environment of its own is made there: Binder's image names the one to use."""
    monkeypatch.setattr(sys, "prefix", "/srv/conda/envs/notebook")
    monkeypatch.setattr(sys, "base_prefix", "/srv/conda/envs/notebook")
    monkeypatch.setattr(sys, "executable", "/srv/conda/envs/notebook/bin/python")
    for name in ("COLAB_RELEASE_TAG", "CONDA_PREFIX", "NB_PYTHON_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    assert setup.python() != Path(sys.executable)
    monkeypatch.setenv("NB_PYTHON_PREFIX", "/srv/conda/envs/notebook")
    assert setup.python() == Path(sys.executable)
