"""Three ways to predict: what moves in finetuning, that nothing stays moved, and that labels are compared fairly."""

from dataclasses import replace

import pytest
import torch
from tiny import FAMILIES, free_task, small_task, tiny
from torch import nn

from helpers import gpt, icl
from helpers.support import cache
from helpers.tasks import Example, Task, Template


def moved_by_finetuning(model, task, all_weights=False):
    """Names of the weights that differ after training, seen just before they are restored."""
    before = {name: weight.clone() for name, weight in model.network.named_parameters()}
    seen = {}

    def look(*_):
        seen.update({n: w.detach().clone() for n, w in model.network.named_parameters()})
        return real(*_)

    real, icl._evaluate = icl._evaluate, look
    try:
        icl.learning_curve(model, task, 0.05, (1,), all_weights=all_weights)
    finally:
        icl._evaluate = real
    return {name: seen[name] - before[name] for name in before if not torch.equal(seen[name], before[name])}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_keys_and_values_move(family, dtype):
    moved = moved_by_finetuning(tiny(family, dtype), small_task())
    assert moved
    assert all(any(part in name for part in gpt.PROJECTIONS) for name in moved)
    if family == "gpt2":
        assert all(not change[..., : change.shape[-1] // 3].any() for change in moved.values())  # the queries' part
        assert all(change[..., change.shape[-1] // 3 :].any() for change in moved.values())


def test_all_weights_move_when_asked(model):
    moved = moved_by_finetuning(model, small_task(), all_weights=True)
    assert any("mlp" in name or "fc1" in name for name in moved)
    if model.name == "tiny gpt2":
        assert any(change[..., :32].any() for name, change in moved.items() if "c_attn.weight" in name)


def test_one_step_each_in_the_order_of_the_prompt(model):
    """One pass equals a loop by hand: forward, backward, subtract lr times the gradient, a demonstration at a time."""
    task, lr = small_task(), 0.05
    network = model.network
    moved = moved_by_finetuning(model, task)
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    for demo in task.demos:
        text = torch.tensor([model.bos + model.encode(f"{demo.text} -> {demo.label}")])
        network.requires_grad_(True)
        with torch.enable_grad():
            loss = nn.functional.cross_entropy(network(text).logits[0, :-1], text[0, 1:])
            gradients = dict(zip(before, torch.autograd.grad(loss, list(network.parameters())), strict=True))
        network.requires_grad_(False)
        for name, weight in network.named_parameters():
            if any(part in name for part in gpt.PROJECTIONS):
                step = gradients[name].clone()
                if "c_attn" in name:
                    step[..., : step.shape[-1] // 3] = 0
                weight -= lr * step
    for name, weight in network.named_parameters():
        expected = moved.get(name, torch.zeros_like(weight))
        torch.testing.assert_close(weight - before[name], expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("trouble", [KeyboardInterrupt, RuntimeError])
def test_the_model_comes_back_bitwise_whatever_happens(model, monkeypatch, trouble):
    before = model.fingerprint()
    icl.finetuned(model, small_task(), lr=0.1)
    assert model.fingerprint() == before

    def interrupted(*_):
        assert model.fingerprint() != before
        raise trouble

    monkeypatch.setattr(icl, "_evaluate", interrupted)
    with pytest.raises(trouble):
        icl.finetuned(model, small_task(), lr=0.2)
    assert model.fingerprint() == before
    assert not any(weight.requires_grad or weight.grad is not None for weight in model.network.parameters())


@pytest.mark.parametrize("switch", [torch.no_grad, lambda: torch.set_grad_enabled(False)], ids=["no_grad", "set_grad"])
def test_finetuning_where_gradients_are_switched_off(model, switch):
    """As many notebooks on interpretability begin; afterwards they are off again."""
    with cache.bypassed():
        expected = icl.finetuned(model, small_task(), lr=0.05).scores
        with switch():
            assert torch.equal(icl.finetuned(model, small_task(), lr=0.05).scores, expected)
            if model.name != "tiny gpt2":
                icl.value_update(model, small_task(), lr=0.05)
            assert not torch.is_grad_enabled()


def test_finetuning_in_inference_mode_is_refused_and_changes_nothing(model):
    before = model.fingerprint()
    with torch.inference_mode(), pytest.raises(ValueError, match=r"inference_mode.*\n.*no_grad\(\) may stay"):
        icl.finetuned(model, small_task(), lr=0.05)
    with torch.inference_mode():
        made = tiny(model.name.split()[1], torch.float32)
    with pytest.raises(ValueError, match=r"inference_mode.*\n.*outside"):
        icl.finetuned(made, small_task(), lr=0.05)
    assert before == model.fingerprint() == made.fingerprint()
    assert not any(weight.requires_grad for weight in model.network.parameters())


def test_learning_curve_starts_at_zero_shot_and_ends_at_finetuned(model):
    task = small_task()
    start, end = icl.learning_curve(model, task, 0.05, (0, 1))
    torch.testing.assert_close(start.scores, icl.zero_shot(model, task).scores)
    torch.testing.assert_close(end.scores, icl.finetuned(model, task, 0.05).scores)
    assert not torch.equal(start.scores, end.scores)


def test_training_lowers_the_loss_on_the_demonstrations(model):
    task = small_task()
    on_demos = replace(task, queries=task.demos)
    losses = [p.loss for p in icl.learning_curve(model, on_demos, 0.003, (0, 4), optimizer="adam", all_weights=True)]
    assert losses[1] < losses[0]


def test_labels_with_a_common_first_token_are_scored_whole():
    model, pair = tiny("llama", torch.float32), small_task(("no", "nope"))
    scores = icl.in_context(model, pair).scores
    three = icl.in_context(model, replace(pair, labels=("nose", "no", "nope"))).scores
    torch.testing.assert_close(three[:, 1:], scores, atol=1e-5, rtol=0)  # a label's score does not depend on its rivals
    assert len(set(three[0].tolist())) == 3


def test_calibration_removes_each_labels_mean():
    """(eq. 4.2): by hand."""
    scores = torch.tensor([[0.0, 3.0], [-1.0, 3.0], [-2.0, 0.0]])  # raw: always the second label
    gold = torch.tensor([0, 1, 0])
    raw = icl.Predictions(scores, scores.argmax(1) == gold, gold)
    assert raw.right.tolist() == [False, True, False]
    torch.testing.assert_close(icl.calibrate(scores), torch.tensor([[1.0, 1.0], [0.0, 1.0], [-1.0, -2.0]]))
    assert raw.calibrated().right.tolist() == [True, True, True]


def test_free_answers_have_nothing_to_calibrate(model):
    predictions = icl.in_context(model, free_task())
    assert predictions.calibrated() is predictions


def test_what_was_computed_is_remembered_by_content(model, monkeypatch):
    task = small_task()
    first = icl.in_context(model, task)
    monkeypatch.setattr(icl, "_evaluate", lambda *_: pytest.fail("computed again"))
    assert torch.equal(icl.in_context(model, task).scores, first.scores)
    with pytest.raises(pytest.fail.Exception):
        icl.in_context(model, replace(task, demos=task.demos[:2]))
    next(model.network.parameters())[0, 0] += 1
    with pytest.raises(pytest.fail.Exception):
        icl.in_context(model, task)


def test_internals_are_remembered_too(model, tmp_path, monkeypatch):
    with cache.bypassed():
        icl.in_context(model, small_task(), internals=True)
    assert not list(tmp_path.iterdir())
    options = {"lr": 0.05, "internals": True}
    first = icl.finetuned(model, small_task(), **options).internals
    monkeypatch.setattr(icl, "_train", lambda *_: pytest.fail("computed again"))
    again = icl.finetuned(model, small_task(), **options).internals
    assert all(torch.equal(getattr(again, name), tensor) for name, tensor in vars(first).items())
    with pytest.raises(pytest.fail.Exception):
        icl.finetuned(model, small_task(), at="first_label", **options)


@pytest.mark.parametrize("lr", [0.0, -1.0, float("nan"), float("inf")])
def test_a_rate_must_be_positive(model, lr):
    with pytest.raises(ValueError, match="positive"):
        icl.finetuned(model, small_task(), lr=lr)


def test_a_model_without_known_projections_is_refused():
    with pytest.raises(ValueError, match="Linear has no key and value projections"):
        gpt.key_and_value_weights(nn.Linear(2, 2))


def test_nothing_to_predict_is_refused(model):
    with pytest.raises(ValueError, match="no queries"):
        icl.zero_shot(model, replace(small_task(), queries=()))


def test_prompt_as_a_string_and_as_tokens(model):
    template = Template("Review: {text}\nSentiment: {label}")
    task = Task("t", template, ("bad", "good"), (Example("dull", "bad"),), (Example("fun", "good"),))
    prompt = icl.build_prompt(template, [("dull", "bad")], "fun")
    assert prompt == "Review: dull\nSentiment: bad\nReview: fun\nSentiment:"
    assert model.tokenizer.decode(icl.prompt_ids(model, task, task.queries[0])) == "<s>" + prompt
    assert (
        model.tokenizer.decode(icl.prompt_ids(model, task, task.queries[0], demos=False))
        == "<s>Review: fun\nSentiment:"
    )
    assert [model.tokenizer.decode(ids) for ids in icl.answer_ids(model, task, task.queries[0])] == [" bad", " good"]


@pytest.mark.parametrize("epochs", [(), (4, 1), (1, 1), (-1, 2)])
def test_passes_are_given_in_increasing_order(model, epochs):
    with pytest.raises(ValueError, match="increasing"):
        icl.learning_curve(model, small_task(), 0.1, epochs)


def test_scores_that_are_not_numbers_are_never_a_silent_accuracy(model):
    next(model.network.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="nan"):
        icl.in_context(model, small_task())


def test_one_query_cannot_be_calibrated(model):
    with pytest.raises(ValueError, match="One query can't be calibrated"):
        icl.zero_shot(model, small_task(queries=1)).calibrated()
