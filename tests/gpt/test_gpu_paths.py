"""Every branch that a GPU takes, without one: its choices by faked memory, its tensors on a strict second device."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from second_device import CudaIsMeta, SecondDevice
from tiny import free_task, small_task, tiny
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers import attention, controls, dual, gpt, icl, regression
from helpers.check import run as check_run
from helpers.controls import Recipe
from helpers.course import doctor
from helpers.experiments import catalogue, evaluation_cost, pretrained, study
from helpers.experiments.evidence import vectors, ways
from helpers.gpt import GPT, identity, loading, momentum, patches, scoring

GB = 10**9


@pytest.fixture
def gpu(monkeypatch):
    """A GPU by torch's word; a function says how many bytes of it are free."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")

    def free(size, kind=float):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (kind(size), 16 * GB))

    free(15 * GB)
    return free


@pytest.fixture
def second():
    """Within, "cuda" is the second device, and no operation mixes it with the first."""
    with ExitStack() as modes:
        modes.enter_context(CudaIsMeta())
        modes.enter_context(SecondDevice())
        yield


# --- What is chosen


@pytest.mark.parametrize(("each", "dtype"), [(11, torch.float32), (9, torch.bfloat16)])
@pytest.mark.parametrize("attention", ["softmax", "momentum"])
def test_auto_puts_a_model_on_the_gpu_in_the_precision_that_fits(gpu, second, folder, each, dtype, attention):
    gpu(each * tiny("llama", torch.float32).network.num_parameters())
    model = gpt.load(folder, attention=attention)
    assert {weight.device.type for weight in model.network.parameters()} == {"meta"}
    assert model.dtype == dtype
    assert all(eta.dtype == torch.float32 for eta in momentum.etas(model.network))
    assert not any(weight.requires_grad for name, weight in model.network.named_parameters() if "eta" not in name)


def test_another_device_is_taken_at_its_word(gpu, folder):
    assert gpt.load(folder, device="cpu").device.type == "cpu"


@pytest.mark.parametrize(
    ("device", "each", "here", "larger"),
    [
        ("cuda", 11, True, True),
        ("cuda:1", 11, True, True),
        ("cuda", 9, True, False),
        ("cuda", 11, False, False),
        ("cpu", 11, True, False),
    ],
)
def test_the_larger_model_is_taken_where_it_is_here_and_fits(gpu, monkeypatch, folder, device, each, here, larger):
    gpu(each * tiny("llama", torch.float32).network.num_parameters())
    monkeypatch.setitem(loading.KNOWN, "fairseq-1.3b", folder)
    monkeypatch.setattr(loading, "try_to_load_from_cache", lambda *_: f"{folder}/config.json" if here else None)
    assert loading._choose(device) == ("fairseq-1.3b" if larger else "smollm2-135m")


def test_only_a_gpu_s_memory_has_a_bound(gpu, folder):
    assert loading.free_memory("cuda") == loading.free_memory("cuda:0") == 15 * GB
    assert loading.free_memory("cpu") == float("inf")
    assert loading._room("cuda", folder) == 15 * GB / tiny("llama", torch.float32).network.num_parameters()


def test_free_memory_is_what_its_annotation_says(gpu):
    """Torch counts in whole bytes; the tests' own check of annotations would stop every evaluation on a real GPU."""
    gpu(15 * GB, kind=int)
    assert loading.free_memory("cuda") == 15 * GB


class OnGpu(GPT):
    """A model that says it is on a GPU."""

    @property
    def device(self):
        return torch.device("cuda")


@pytest.mark.parametrize(("free", "tokens"), [(0, 512), (16 * 768 * 1000, 1000), (10**12, 16 * 512)])
def test_a_row_takes_a_sixteenth_of_the_free_memory(gpu, free, tokens):
    """The tiny model's keys and values are 2 × 3 layers × 4 heads × 8 wide × 4 bytes = 768 bytes a token."""
    gpu(free)
    model = tiny("llama", torch.float32)
    assert scoring._packed_tokens(model) == 512
    assert scoring._packed_tokens(OnGpu(model.network, model.tokenizer, model.name)) == tokens


@pytest.mark.parametrize(("free", "rows"), [(0, 4), (10**12, 1)])
def test_a_gpu_with_room_reads_all_queries_in_one_row(gpu, second, monkeypatch, free, rows):
    gpu(free)
    task = small_task()
    task = replace(task, queries=task.queries * 16)
    model, seen, real = tiny("llama", torch.float32), [], scoring.logits_of
    model = OnGpu(model.network.to("cuda"), model.tokenizer, model.name)
    monkeypatch.setattr(scoring, "logits_of", lambda m, p, row, places: seen.append(row) or real(m, p, row, places))
    icl._evaluate(model, task)
    assert len(seen[-rows:]) == rows
    assert sum(row.ids.shape[1] > 64 for row in seen) == rows


# --- What runs on it


@pytest.fixture
def model(second):
    made = tiny("llama", torch.float32)
    made.network.to("cuda")
    return made


def test_a_model_answers_and_is_known_there(model):
    assert isinstance(gpt.complete(model, "ab", tokens=2), str)
    assert len(model.fingerprint()) == 32
    known = identity._probe(model)
    assert known == identity._probe(model)
    read = gpt.heads(model, "some text")
    assert {x.device.type for x in vars(read).values()} == {"cpu"}


def test_whole_passes_run_there(model):
    for task in (small_task(), free_task()):
        assert icl._evaluate(replace(model, slow=True), task).scores.device.type == "cpu"


def test_a_prompt_becomes_a_patch_there(model):
    patch = patches.absorb(model, "a -> b\n", "c ->")
    assert {part.device.type for part in vars(patch).values()} == {"meta"}
    with patches.patched(model, patches.mean([patch, patch])):
        assert patches.next_token(model, "c ->").device.type == "cpu"


def test_momentum_learns_there(model):
    gpt.momentum.add_momentum(model.network)
    assert {eta.device.type for eta in momentum.etas(model.network)} == {"meta"}
    weights = {name: weight for name, weight in model.network.named_parameters() if name.endswith(".eta")}
    with gpt.trainable(model.network, weights):
        step = gpt.stepper(list(weights.values()), "adam", 0.1)
        step(gpt.language_model_loss(model, model.encode("some text")))
    momentum.clip(model.network)
    mask = torch.zeros(1, 1, 3, 3, device="cuda")
    assert momentum.plain(mask, 3, 3)


RECIPES = (
    Recipe(0.1),
    Recipe(0.1, "mlp", passes=2),
    Recipe(0.1, "all", "adam", answer_only=True, clip=1.0),
)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.learns)
def test_controls_are_finetuned_and_held_there(model, recipe):
    trained, bare = controls.finetune(model, small_task(), recipe), replace(small_task(queries=1), demos=())
    assert trained.queries.device.type == "cpu"
    half, noise = controls.scaled(model, trained.weights, 0.5), controls.random_update(model, trained.weights)
    for weights in (trained.weights, half, noise):
        assert {weight.device.type for weight in weights.values()} == {"meta"}
        with controls.holding(model, weights):
            assert icl._evaluate(model, bare, "answer").internals.outputs.device.type == "cpu"


def test_the_slow_controls_run_there(model):
    task = replace(small_task(), demos=small_task().demos[:1])
    found = controls.layer_causal_steps(model, task, 0.1)
    assert {weight.device.type for weight in found.values()} == {"meta"}
    for embeddings in (True, False):
        assert controls.untrained(model, embeddings=embeddings).device.type == "meta"
    assert isinstance(controls._length(model, replace(task, demos=()), found, torch.ones(5, 3, 32)), float)


def test_studies_read_the_model_there(model):
    task = small_task()
    queries = ways.plain_queries(model, task)
    assert queries.device.type == "cpu"
    (vector, *_) = vectors.task_vectors(model, task)
    for place in (None, 1):
        marks = vectors.first_tokens(model, task, place, None if place is None else vector)
        assert len(marks) == len(task.queries)
    assert evaluation_cost._label(model, [2, 3, 4], [5, 6]) is not None
    assert evaluation_cost.matmul_rate(model, size=8) > 0


def test_a_short_finetuning_on_windows_runs_there(model, monkeypatch):
    tokens = torch.arange(4000) % 200 + 2
    monkeypatch.setattr(pretrained, "text", lambda name, split: tokens)
    monkeypatch.setattr(pretrained, "WINDOW", 24)
    monkeypatch.setattr(pretrained, "RECIPE", replace(pretrained.RECIPE, steps=2, batch=1))
    assert len(pretrained.finetune(model, {"keys and values": 0.1}, 0)) == 2
    assert len(pretrained.window_losses(model, "test", 2)) == 2


# --- What is said of it


def test_a_recorded_line_names_the_gpu(gpu, monkeypatch):
    model = tiny("llama", torch.bfloat16)
    line = study.provenance(OnGpu(model.network, model.tokenizer, "tiny"), catalogue.STUDIES["three_ways"])
    assert line["device"] == f"cuda, {torch.get_num_threads()} threads, bfloat16"
    assert line["machine"].startswith("Tesla T4")
    assert "Tesla" not in study.machine("cpu")


def test_the_doctor_names_the_gpu(gpu):
    assert doctor._device() == doctor.Finding("device", "ok", "Tesla T4, 15 GB free")


# --- The shelf's own functions, and students'


def rows(*shapes):
    return [torch.zeros(*shape, device="cuda") for shape in shapes]


def shelf():
    """Every function of tensors on the shelf that somebody may call with a GPU's."""
    q, k, v = ((6, 4), (6, 4), (6, 3))
    w, x, errors = (3, 4), (6, 4), (6, 3)
    for name in ("softmax", "linear", "normalized_linear", "recurrent_linear"):
        yield getattr(attention, f"{name}_attention"), (q, k, v)
    yield lambda q, k, v: attention.chunked_linear_attention(q, k, v, 4), (q, k, v)
    yield lambda q, k, v: attention.momentum_attention(q, k, v, 0.5), (q, k, v)
    yield lambda q, k, v: attention.momentum_linear_attention(q, k, v, 0.5), (q, k, v)
    yield lambda v: attention.momentum_scan(v, 0.5), (v,)
    yield lambda v, eta: attention.momentum_scan(v, eta[:, None][:, 0]), ((2, 6, 3), (2,))
    yield dual.weight_update, (errors, x)
    yield lambda w, x, y: dual.gradient_step(w, x, y, 0.1), (w, x, errors)
    yield dual.dual_forward, (w, errors, x, (4,))
    yield dual.contributions, (errors, x, (4,))
    yield lambda w, x, y: dual.unrolled_training(w, x, y, 0.1, 2), (w, x, errors)
    yield dual.rank_one_patch, (w, (4,), (4,))
    yield lambda w: regression.gd_as_attention(w, 0.1), (w,)


@pytest.mark.parametrize(("function", "shapes"), list(shelf()))
def test_the_shelf_s_functions_stay_on_their_device(second, function, shapes):
    found = function(*rows(*shapes))
    parts = found.values() if isinstance(found, dict) else found if isinstance(found, tuple) else [found]
    assert {part.device.type for part in parts if isinstance(part, torch.Tensor) and part.dim()} == {"meta"}


@pytest.mark.parametrize(("device", "dtype"), [("cuda", torch.float64), ("mps", torch.float32)])
def test_momentum_counts_in_what_its_device_has(device, dtype):
    """Apple's GPUs have no float64; faked tensors keep the name of their device."""
    with FakeTensorMode():
        exact = attention._exact(0.5, torch.empty(6, 3, device=device))
    assert (exact.device.type, exact.dtype) == (device, dtype)


def test_an_attempt_on_another_device_is_told_so():
    with pytest.raises(check_run.Fault, match=r"another device: .*\.cpu\(\)"):
        check_run.plain(torch.zeros(2, device="meta"))


def test_what_was_left_behind_is_found(model):
    """The strict device is strict: else nothing above would mean anything."""
    with pytest.raises(RuntimeError, match="tensors on cpu and meta"):
        model.network.get_input_embeddings().weight + torch.zeros(32)
