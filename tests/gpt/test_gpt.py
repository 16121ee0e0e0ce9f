"""The packed pass says what a plain one says: tiny models of three families here, the real one in test_real.py."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from tiny import CONTEXT, FAMILIES, free_task, plain_scores, small_task, tiny

from helpers import gpt, icl

CLOSE = {torch.float32: 1e-4, torch.float16: 3e-2, torch.bfloat16: 2e-1}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", CLOSE)
def test_packed_scores_are_plain_scores(family, dtype):
    """(eq. 4.1): against a whole forward pass for every label."""
    model, task = tiny(family, dtype), small_task()
    for way, demos in ((icl.zero_shot, False), (icl.in_context, True)):
        assert way(model, task).scores.dtype == torch.float32
        torch.testing.assert_close(
            way(model, task).scores, torch.stack(plain_scores(model, task, demos)), atol=CLOSE[dtype], rtol=0
        )


def test_whole_passes_give_the_same(model):
    for task in (small_task(), free_task()):
        for way in (icl.zero_shot, icl.in_context, partial(icl.finetuned, lr=0.01)):
            slow, packed = way(model, task, slow=True), way(model, task)
            torch.testing.assert_close(slow.scores, packed.scores, atol=1e-5, rtol=0)
            assert slow.right.tolist() == packed.right.tolist()
    with pytest.raises(ValueError, match=r"slow=True .*\n.*not both\.$"):
        icl.in_context(model, small_task(), slow=True, internals=True)


def test_a_hook_by_places_of_the_row_is_found_and_refused(model):
    """A learner takes attention from the last place, which in a packed row is the last of many prompts' places."""
    task = small_task()
    icl.in_context(model, task)
    hook = attention(model)[0].register_forward_hook(last_place_off)
    with pytest.raises(ValueError, match=r"packed passes give other scores than whole ones: .*\n.*slow=True\.$"):
        icl._evaluate(model, task)
    expected = torch.stack(plain_scores(model, task, True))
    torch.testing.assert_close(icl._evaluate(replace(model, slow=True), task).scores, expected, atol=1e-5, rtol=0)
    hook.remove()
    icl._evaluate(model, task)


def attention(model):
    return [m for name, m in model.network.named_modules() if name.endswith((".attn", ".self_attn"))]


def last_place_off(module, inputs, out):
    out[0][:, -1] = 0


def test_a_hook_that_draws_at_random_or_is_the_same_everywhere_goes_on(model):
    for change in (lambda out: out + torch.randn_like(out), lambda out: 0 * out):
        hook = attention(model)[0].register_forward_hook(lambda _, x, out, f=change: (f(out[0]), *out[1:]))
        assert icl._evaluate(model, small_task()).scores.isfinite().all()
        hook.remove()


def test_packing_is_compared_once(model, monkeypatch):
    icl._evaluate(model, small_task())
    monkeypatch.setattr(gpt.scoring, "_whole_pass", lambda *_: pytest.fail("compared again"))
    icl._evaluate(model, small_task())


def test_a_changed_configuration_is_compared_again(model, monkeypatch):
    icl._evaluate(model, small_task())
    monkeypatch.setattr(gpt.scoring, "_whole_pass", compared := Counted(gpt.scoring._whole_pass))
    model.network.config.sliding_window = 100
    icl._evaluate(model, small_task())
    assert compared.calls == 3


class Counted:
    """A function, and how often it was called."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args):
        self.calls += 1
        return self.function(*args)


def test_many_batches_give_the_same_as_one(model, monkeypatch):
    task = small_task()
    whole = icl._evaluate(model, task).scores
    monkeypatch.setattr(gpt.scoring, "PACKED_TOKENS", 20)
    torch.testing.assert_close(icl._evaluate(model, task).scores, whole, atol=1e-5, rtol=0)


def test_greedy_continuations_are_what_the_model_generates(model):
    """Against transformers' own greedy generation, token by token."""
    prefix, prompt = icl.prefix_ids(model, free_task()), model.encode("go ->")
    ids = torch.tensor([prefix + prompt])
    options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 1, "eos_token_id": None}
    *written, then = model.network.generate(ids, attention_mask=torch.ones_like(ids), **options)[
        0, ids.shape[1] :
    ].tolist()
    answers = [written, [*written[:-1], (written[-1] + 1) % 258]]
    best, other = gpt.score(model, prefix, [prompt], [answers], follow=True)[0]
    assert (best.greedy, best.following, other.greedy) == (True, then, False)


def test_free_scores_take_the_best_right_answer(model):
    task = free_task()
    best = torch.stack([row.max()[None] for row in plain_scores(model, task, True)])
    torch.testing.assert_close(icl.in_context(model, task).scores, best, atol=1e-4, rtol=0)


def test_a_word_ends_where_no_letter_follows(model):
    assert icl._ends_word(model, model.encode("\n")[0])
    assert not icl._ends_word(model, model.encode("s")[0])


def test_fingerprint_sees_one_bit(model):
    before = model.fingerprint()
    weight = next(model.network.parameters())
    kept = weight[0, 0].item()
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(1e9))
    assert model.fingerprint() != before
    weight[0, 0] = kept
    assert model.fingerprint() == before


def test_a_prompt_longer_than_the_context_is_refused_before_computing(model, monkeypatch):
    monkeypatch.setattr(type(model.network), "forward", lambda *a, **k: pytest.fail("computed"))
    task = small_task()
    long = type(task)("long", task.template, task.labels, task.demos * 9, task.queries)
    with pytest.raises(ValueError, match=rf"{CONTEXT}.*\n.*fewer shots"):
        icl.in_context(model, long)


def test_unknown_model_offers_the_nearest():
    with pytest.raises(ValueError, match="smollm2-135m"):
        gpt.load("smolm2-135")


def test_a_folder_is_a_model(tmp_path):
    made = tiny("llama", torch.float32)
    made.network.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    loaded = gpt.load(str(tmp_path))
    assert loaded.fingerprint() == made.fingerprint()
    assert loaded.encode("abc") == made.encode("abc")


def test_pickled_weights_are_read_without_unpickling_code(tmp_path):
    made = tiny("gpt2", torch.float32)
    made.network.config.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    torch.save({"transformer.wte.weight": Malicious()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(Exception, match=r"(?i)weights_only|unsupported|untrusted|pickle"):
        gpt.load(str(tmp_path))
    assert not Malicious.ran


class Malicious:
    """Would run code when unpickled."""

    ran = False

    def __reduce__(self):
        return (setattr, (Malicious, "ran", True))


def test_a_hub_model_that_is_not_here_says_what_to_do():
    with pytest.raises(FileNotFoundError, match="HF_HUB_OFFLINE=0"):
        gpt.load("nobody/nothing")


def test_an_empty_prompt_is_refused(model):
    with pytest.raises(ValueError, match="empty"):
        gpt.complete(model, "  ")
