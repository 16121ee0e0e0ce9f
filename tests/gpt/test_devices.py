"""No GPU needed: a whole run on a second device finds tensors that were left on the first. With one: it says the same.

Every other branch that a GPU takes: test_gpu_paths.py.
"""

import gc

import pytest
import torch
from second_device import SecondDevice
from tiny import FAMILIES, free_task, small_task, tiny

from helpers import gpt, icl, tasks


@pytest.fixture(params=FAMILIES)
def elsewhere(request):
    model = tiny(request.param, torch.float32)
    model.network.to("meta")
    return model


@pytest.mark.parametrize("task", [small_task(), free_task()], ids=lambda task: task.name)
def test_a_whole_run_stays_on_its_device(elsewhere, task):
    with SecondDevice():
        for at in (None, "answer", "first_label"):
            predictions = icl._evaluate(elsewhere, task, at)
            assert predictions.scores.device.type == "cpu"
        for optimizer, all_weights in (("sgd", False), ("adam", True)):
            icl._train(elsewhere, task, 0.1, (0, 1), optimizer, all_weights, None)
        kept = icl._train(elsewhere, task, 0.1, (1,), "sgd", False, "answer")
        assert all(tensor.device.type == "cpu" for tensor in kept.values())
        if elsewhere.name != "tiny gpt2":
            prompts = [icl.prompt_ids(elsewhere, task, query, demos=False) for query in task.queries]
            kept = gpt.value_update.compute(elsewhere, icl.demo_ids(elsewhere, task), prompts, 0.1)
            assert all(tensor.device.type == "cpu" for tensor in kept.values())


def test_a_tensor_left_behind_is_found(elsewhere, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *_, **__: self)  # the prompt stays on the CPU
    with SecondDevice(), pytest.raises(ValueError, match="tensors on cpu and meta"):
        icl._evaluate(elsewhere, small_task())


@pytest.mark.parametrize("room", [40, 80])
def test_a_row_that_does_not_fit_is_halved(model, monkeypatch, room):
    """A device that runs out of memory above `room` tokens: same scores and internals, no prompt lost."""
    task, real = small_task(), gpt.scoring.logits_of
    whole = icl._evaluate(model, task, "answer")

    def cramped(model, prefix, row, rows):
        logits = real(model, prefix, row, rows)
        if row.ids.shape[1] > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits

    monkeypatch.setattr(gpt.scoring, "logits_of", cramped)
    parts = icl._evaluate(model, task, "answer")
    torch.testing.assert_close(parts.scores, whole.scores, atol=1e-5, rtol=0)
    torch.testing.assert_close(parts.internals.demo_scores, whole.internals.demo_scores, atol=1e-4, rtol=1e-4)


def test_one_prompt_that_does_not_fit_is_said(model, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(gpt.scoring, "logits_of", full)
    with pytest.raises(MemoryError, match=r"no room for one prompt of \d+ tokens.*\n.*fewer shots"):
        icl._evaluate(model, small_task())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_steps_add_up(family, dtype):
    """Forty steps, each far below half precision's resolution: together they arrive where float32 arrives."""
    task, moved = small_task(), {}
    for kind in (torch.float32, dtype):
        model = tiny(family, kind)
        weights = list(gpt.key_and_value_weights(model.network).values())
        before = [w.detach().float().clone() for w in weights]
        with gpt.trainable(model.network, gpt.key_and_value_weights(model.network)):
            step = gpt.stepper(weights, "sgd", 1e-3)
            for _ in range(40):
                step(gpt.language_model_loss(model, icl.demo_ids(model, task)[0]))
            moved[kind] = torch.cat([(w.detach().float() - b).flatten() for w, b in zip(weights, before, strict=True)])
    cosine = torch.nn.functional.cosine_similarity(moved[torch.float32], moved[dtype], dim=0)
    assert cosine > 0.9
    assert moved[dtype].norm() == pytest.approx(moved[torch.float32].norm().item(), rel=0.2)


# ── with a GPU


@pytest.fixture(scope="module")
def on_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    yield gpt.load("smollm2-135m", device="cuda")
    gc.collect()
    torch.cuda.empty_cache()


@pytest.mark.gpu
@pytest.mark.real
@pytest.mark.parametrize("name", ["mr", "past"])
def test_the_gpu_says_what_the_cpu_says(on_gpu, real, name):
    task = tasks.load(name, shots=16, queries=8)
    for way, options in ((icl.zero_shot, {}), (icl.in_context, {}), (icl.finetuned, {"lr": 0.003})):
        there, here = way(on_gpu, task, internals=True, **options), way(real, task, internals=True, **options)
        torch.testing.assert_close(there.scores, here.scores, atol=5e-3, rtol=0)
        torch.testing.assert_close(there.internals.outputs, here.internals.outputs, atol=2e-2, rtol=1e-2)


@pytest.mark.gpu
@pytest.mark.real
def test_on_a_gpu_half_precision_is_close_and_comes_back(on_gpu):
    half, task = gpt.load("smollm2-135m", device="cuda", dtype="bfloat16"), tasks.load("mr", shots=32, queries=20)
    before = half.fingerprint()
    for way, options in ((icl.in_context, {}), (icl.finetuned, {"lr": 0.003})):
        close = (way(half, task, **options).scores - way(on_gpu, task, **options).scores).abs()
        assert close.median() < 0.2
    assert half.fingerprint() == before


@pytest.mark.gpu
def test_a_row_on_a_gpu_grows_with_its_memory(on_gpu):
    assert gpt.scoring.PACKED_TOKENS <= gpt.scoring._packed_tokens(on_gpu) <= 16 * gpt.scoring.PACKED_TOKENS
