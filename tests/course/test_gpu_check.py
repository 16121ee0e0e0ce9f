"""The check on a GPU, with a tiny model and a tiny notebook; its arithmetic of memory against what torch allocates."""

import json
import os
import random
import subprocess
import sys

import jupytext
import nbformat
import pytest
import torch
from safetensors import safe_open
from tiny import byte_tokenizer, tiny
from transformers import AutoConfig, AutoModelForCausalLM, XGLMConfig

from helpers import DEFAULT_MODEL, gpt
from helpers.course import build, gpu_check, gpu_memory, gpu_report
from helpers.experiments.evidence import paper_cost
from helpers.gpt import GPT, loading
from helpers.support import ROOT, CourseError, cache

# --- Memory

SHAPES = {  # grouped heads and a gated MLP; the paper's own family, which holds its scores; fused projections
    "llama": {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 8, "num_key_value_heads": 2},
    "xglm": {"d_model": 128, "ffn_dim": 512, "attention_heads": 8},
    "gpt2": {"n_embd": 128, "n_head": 8, "n_positions": 2048, "bos_token_id": 0, "eos_token_id": 1},
}
LAYERS = {"llama": "num_hidden_layers", "xglm": "num_layers", "gpt2": "n_layer"}
BOUNDS = (0.8, 1.5)  # forecast over measured


def network(kind, dtype, layers):
    shape = {"vocab_size": 4000, "max_position_embeddings": 2048, LAYERS[kind]: layers} | SHAPES[kind]
    net = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape)).to(dtype).eval().requires_grad_(False)
    return GPT(net, byte_tokenizer(), kind)


def allocated(run):
    """The most bytes that torch's own allocator held at one time for this."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    return most


def texts(count, tokens):
    rng = random.Random(0)
    return [[rng.randrange(2, 250) for _ in range(tokens)] for _ in range(count)]


@pytest.mark.parametrize("layers", [2, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", SHAPES)
def test_the_arithmetic_is_what_torch_allocates(kind, dtype, layers):
    model = network(kind, dtype, layers)
    found = gpu_memory.needed(model.network.config, dtype, shots=16, queries=20)
    assert found.weights == sum(weight.nbytes for weight in model.network.parameters())
    [prefix], queries = texts(1, 16 * gpu_memory.EXAMPLE), texts(20, gpu_memory.EXAMPLE - 2)
    answers = [texts(2, 1)] * len(queries)
    gpt.score(model, prefix, queries[:1], answers[:1])  # checks are made once
    evaluated = allocated(lambda: gpt.score(model, prefix, queries, answers))
    assert BOUNDS[0] <= (found.evaluation - found.weights) / evaluated <= BOUNDS[1]

    def train():
        weights = gpt.key_and_value_weights(model.network)
        with gpt.trainable(model.network, weights):
            step = gpt.stepper(list(weights.values()), "sgd", 1e-3)
            for ids in texts(3, gpu_memory.EXAMPLE):
                step(gpt.language_model_loss(model, ids))

    assert BOUNDS[0] <= (found.update + found.training) / allocated(train) <= BOUNDS[1]


def test_what_memory_grows_with():
    config = network("llama", torch.float32, 2).network.config
    works = ((16, 512), (32, 512), (16, 4096))
    plain, more, longer = (gpu_memory.needed(config, torch.float32, shots, row=row) for shots, row in works)
    assert more.prompt == 2 * plain.prompt
    assert (longer.prompt, longer.weights, longer.update) == (plain.prompt, plain.weights, plain.update)
    assert longer.row > 4 * plain.row
    assert plain.peak == max(plain.evaluation, plain.finetuning) > plain.weights


def test_the_paper_s_model_fits_a_small_gpu():
    """Without a download: its own configuration, as in the arithmetic of what it costs to redo the paper."""
    config = XGLMConfig(vocab_size=50261, max_position_embeddings=2048, **paper_cost.SHAPES[gpu_check.LARGER])
    parameters, trained = paper_cost.sizes(gpu_check.LARGER)
    full, half = (gpu_memory.needed(config, dtype, row=4096) for dtype in (torch.float32, torch.bfloat16))
    assert (full.weights, full.update) == (4 * parameters, 8 * trained)
    assert (half.weights, half.update) == (2 * parameters, 12 * trained)
    assert half.peak < full.peak < paper_cost.DEVICES["T4"].memory


@pytest.mark.real
def test_the_default_model_by_its_configuration_is_the_file_of_its_weights():
    file = cache.folder("models", DEFAULT_MODEL) / "model.safetensors"
    with safe_open(file, "pt") as weights:
        numbers = sum(torch.Size(weights.get_slice(name).get_shape()).numel() for name in weights.keys())  # noqa: SIM118
    assert gpu_memory.needed(gpu_check.configuration(DEFAULT_MODEL), torch.float32).weights == 4 * numbers


# --- Report

NOTEBOOK = """\
# %% [markdown]
# # Tiny

# %%
from helpers import gpt

model = gpt.load()
print("layers", model.attention_shape[0])

# %%
print("right 0.25, the rest as before")

# %%
{fails}

# %%
print("goes on")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that no notebook would choose."""
    model, place = tiny("llama", torch.float32), tmp_path_factory.mktemp("model")
    model.network.save_pretrained(place)
    model.tokenizer.save_pretrained(place)
    return str(place)


@pytest.fixture
def check(monkeypatch, tmp_path, folder, capsys):
    """Run the check on a notebook whose third cell is this; its exit status, what was printed, and both reports."""
    monkeypatch.setattr(build, "SOURCES", tmp_path)
    monkeypatch.setattr(build, "SOLVED", tmp_path / "solved")
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    monkeypatch.setattr(gpu_check, "REPORT", tmp_path / "build" / "gpu-check")
    monkeypatch.setattr(gpu_check, "WORK", {"00_tiny": (4, 4)})

    def run(fails):
        source = tmp_path / "00_tiny.py"
        source.write_text(NOTEBOOK.format(fails=fails))
        made = build.notebook(source, solved=True)
        texts = ("layers 30\n", "right 0.50, the rest as before\n", "goes on\n")
        for cell, text in zip((cell for cell in made.cells if "print(" in cell.source), texts, strict=True):
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
        build.write(made, tmp_path / "solved" / "00_tiny.ipynb")
        status = gpu_check.main([folder])
        page = (tmp_path / "build" / "gpu-check.md").read_text()
        return status, capsys.readouterr().out, json.loads((tmp_path / "build" / "gpu-check.json").read_text()), page

    return run


@pytest.mark.notebook
def test_a_failing_cell_is_in_the_report_and_the_rest_runs(check, folder):
    status, printed, report, page = check('raise MemoryError(f"no room for {model.name}")')
    (run,) = report["runs"]
    assert status == 1
    assert "cells failed" in printed
    assert page.startswith("# GPU check without a GPU: everything below ran on the CPU\n")
    assert run["failed"][0]["error"] == f"MemoryError: no room for {folder}"
    assert "no room" in page
    assert run["loaded"] == f"{folder}, float32, cpu"
    assert 10**8 < run["before"] <= run["peak"] < 10**10
    assert 0 < run["forecast"] < 10**8
    assert [(d["committed"], d["here"], d["apart"]) for d in run["compared"]["differences"]] == [
        ("layers 30", "layers 3", 27),
        ("right 0.50, the rest as before", "right 0.25, the rest as before", 0.25),
    ]
    assert (
        "  committed  right 0.50, the rest as before\n  here       right 0.25, the rest as before   (by 0.25)" in page
    )
    assert report["machine"]["torch"] == torch.__version__


@pytest.mark.notebook
def test_a_kernel_that_dies_leaves_its_report(check):
    status, printed, report, page = check("import os\n\nos._exit(9)")
    assert status == 1
    assert "stopped before its end" in printed
    assert report["runs"][0]["stopped"].startswith("DeadKernelError")
    assert report["runs"][0]["peak"] is None
    assert "It stopped before its end" in page


@pytest.mark.parametrize("source", build.sources(list(gpu_check.WORK)), ids=lambda source: source.stem)
def test_the_course_s_notebooks_take_the_model_that_is_asked_for(source):
    before, after = jupytext.read(source), gpu_check.with_model(jupytext.read(source), "fairseq-1.3b")
    pairs = zip(before.cells, after.cells, strict=True)
    changed = [new.source for old, new in pairs if old.source != new.source]
    assert len(changed) == 1
    assert "model = gpt.load('fairseq-1.3b')" in changed[0]


def test_a_notebook_without_a_model_is_refused():
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    with pytest.raises(CourseError, match=r"^No cell loads a model .*\n.*gpu_check\.py"):
        gpu_check.with_model(made, "gpt2")


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("mr 0.52 (0.42 to 0.61)", "mr 0.50 (0.40 to 0.63)", 0.02),
        ("−1,234.5 nats", "−1,234 nats", 0.5),
        ("go -> went", "go -> goes", None),
        ("a 1", "a 1 2", None),
        ("the same", "the same", None),
    ],
)
def test_how_far_two_lines_are_apart(one, other, apart):
    assert gpu_report.apart(one, other) == apart


# --- Which models, and which machine


def test_an_unknown_model_is_two_lines_and_nothing_is_begun():
    command = [sys.executable, "-m", "helpers", "gpu-check", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "no model called 'nonsense'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2


def test_a_model_that_is_not_here_is_two_lines(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(CourseError, match=r"^somebody/something is not on this machine.*\nSet HF_HUB_OFFLINE=0"):
        gpu_check.available(["somebody/something"])


@pytest.fixture
def gpu(monkeypatch):
    """A GPU with 16 GB by torch's word; nothing is put on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (15e9, 16e9))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 7_000_000_000)


def test_without_a_gpu_the_larger_model_is_left_out(monkeypatch, folder):
    monkeypatch.setattr(gpu_check, "DEFAULT_MODEL", folder)
    models, left_out = gpu_check.available([])
    assert models == [folder]
    assert "There is no GPU" in left_out[gpu_check.LARGER]


def test_on_a_gpu_the_larger_model_runs_where_it_is_here_and_fits(gpu, monkeypatch, folder):
    monkeypatch.setattr(gpu_check, "DEFAULT_MODEL", folder)
    models, left_out = gpu_check.available([])
    assert models == [folder]
    assert "not on this machine" in left_out[gpu_check.LARGER]
    monkeypatch.setattr(gpu_check, "LARGER", folder)
    assert gpu_check.available([]) == ([folder, folder], {})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1e3, 16e9))
    assert "needs 0.0 GB in its smallest form" in gpu_check.trouble(folder)


WELL = {"notebook": "00", "model": "m", "loaded": "m, float32, cuda:0", "seconds": 9, "cells": 1, "stopped": ""}
WELL |= {"before": 0, "peak": 3 * 10**9, "forecast": 2 * 10**9, "failed": []}
WELL |= {"compared": {"lines": 1, "differences": []}}


@pytest.mark.parametrize(
    ("ends", "status"),
    [({}, 0), ({"stopped": "DeadKernelError"}, 1), ({"failed": [{"cell": "", "error": "", "traceback": ""}]}, 1)],
)
def test_only_a_run_that_goes_well_is_a_success(monkeypatch, tmp_path, folder, ends, status):
    monkeypatch.setattr(gpu_check, "ROOT", tmp_path)
    monkeypatch.setattr(gpu_check, "REPORT", tmp_path / "gpu-check")
    monkeypatch.setattr(gpu_check, "run", lambda source, model: WELL | ends)
    assert gpu_check.main([folder]) == status


def test_the_report_says_which_gpu(gpu, monkeypatch):
    monkeypatch.setattr(gpu_check.shutil, "which", lambda tool: None)
    found = gpu_check.machine()
    assert (found["GPU"], found["GPU memory"]) == ("Tesla T4", "15.0 of 16.0 GB free")
    assert found["driver"].startswith("unknown")
    page = gpu_report.page({"machine": found, "left out": {"x": "Too large."}, "runs": [WELL]})
    assert page.startswith("# GPU check: Tesla T4\n")
    assert "Left out: x. Too large." in page
    assert "| 0.00 | 3.00 | 2.00 | 1.50 |" in page


def test_a_gpu_s_memory_is_that_of_its_tensors(gpu):
    assert json.loads(gpu_check.end(None)) == {"memory": 7_000_000_000}


def test_the_driver_is_asked_of_its_own_tool(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint('555.42')\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert gpu_check.driver() == "555.42"


def test_in_the_kernel_nothing_is_taken_from_earlier_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "evaluation", None)
    gpu_check.begin(str(tmp_path))
    assert cache.evaluation(("a",)).parent == tmp_path


def test_names_of_folders_stay_here():
    assert gpu_check.private(f"{ROOT}/helpers/x.py") == "course/helpers/x.py"
    assert loading.Path.home().name not in gpu_check.private(f"{loading.Path.home()}/x")[1:]
