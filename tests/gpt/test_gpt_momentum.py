"""Momentum in a real GPT: nothing changes at η = 0, (eq. 6.2) above, from a cache; what can't be read is refused."""

from contextlib import ExitStack

import pytest
import torch
from tiny import plain_scores, small_task, tiny

from helpers import attention, gpt, icl
from helpers.gpt import momentum as gpt_momentum

IDS = torch.tensor([[0, 7, 90, 45, 33, 7, 90, 12, 200, 31], [0, 101, 5, 5, 44, 90, 61, 8, 3, 77]])


@pytest.fixture
def plain():
    return tiny("llama", torch.float64)


@pytest.fixture
def moved():
    """The tiny model with momentum, an η of its own in every head, one of them 0."""
    model = tiny("llama", torch.float64)
    gpt_momentum.add_momentum(model.network)
    with torch.no_grad():
        for layer, eta in enumerate(gpt_momentum.etas(model.network)):
            eta.copy_(torch.tensor([0.3, 0.0, 0.95, 0.6]) * (layer + 1) / 3)
    return model


def with_hooks(network, etas):
    """The same by a loop: what comes out of v_proj, summed for every query head, goes to what enters o_proj."""
    hooks, values = ExitStack(), {}
    heads, shared = 4, 2

    def add(place, entering):
        v = values[place].unflatten(-1, (heads // shared, -1))
        momentum = torch.zeros_like(entering[0]).unflatten(-1, (heads, -1))
        for head in range(heads):
            for t in range(v.shape[1]):
                for i in range(t):
                    momentum[:, t, head] += etas[place][head] ** (t - i) * v[:, i, head // shared]
        return entering[0] + momentum.flatten(-2)

    for place, layer in enumerate(network.base_model.layers):
        block = layer.self_attn
        hooks.callback(block.v_proj.register_forward_hook(lambda _, x, out, p=place: values.update({p: out})).remove)
        hooks.callback(block.o_proj.register_forward_pre_hook(lambda _, x, p=place: add(p, x)).remove)
    return hooks


@torch.no_grad()
def test_without_momentum_nothing_changes(plain):
    before = plain.network(IDS).logits
    gpt_momentum.add_momentum(plain.network)
    assert torch.equal(plain.network(IDS).logits, before)


@torch.no_grad()
def test_momentum_is_the_sum_of_the_values_before(plain, moved):
    with with_hooks(plain.network, gpt_momentum.etas(moved.network)):
        expected = plain.network(IDS).logits
    torch.testing.assert_close(moved.network(IDS).logits, expected)
    assert (expected - plain.network(IDS).logits).abs().max() > 0.1


@torch.no_grad()
def test_reading_on_from_a_cache_is_reading_at_once(moved):
    whole = moved.network(IDS).logits
    for sizes in ([4, 1, 1, 4], [1] * 10, [9, 1]):
        past, parts = None, []
        for part in IDS.split(sizes, 1):
            out = moved.network(part, past_key_values=past, use_cache=True)
            past = out.past_key_values
            parts.append(out.logits)
        torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_generation_with_and_without_a_cache(moved):
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 1, "attention_mask": torch.ones_like(IDS)}
    cached, recomputed = (moved.network.generate(IDS, use_cache=kept, **options) for kept in (True, False))
    assert cached.tolist() == recomputed.tolist()


def test_eta_learns_from_exactly_zero_and_stays_in_its_range(plain):
    gpt_momentum.add_momentum(plain.network)
    etas = gpt_momentum.etas(plain.network)
    plain.network(IDS, labels=IDS).loss.backward()
    assert all((eta.grad != 0).all() for eta in etas)
    assert [name for name, w in plain.network.named_parameters() if w.grad is not None] == [
        f"model.layers.{layer}.self_attn.eta" for layer in range(3)
    ]
    torch.optim.SGD(etas, lr=1e6).step()
    gpt_momentum.clip(plain.network)
    assert {value for eta in etas for value in eta.tolist()} == {0.0, attention.HIGHEST_ETA}


@torch.no_grad()
def test_what_a_mask_hides_is_refused(moved):
    with pytest.raises(ValueError, match="no padding, no packed rows"):
        icl.in_context(moved, small_task())
    whole = torch.stack(plain_scores(moved, small_task(), True))
    torch.testing.assert_close(icl.in_context(moved, small_task(), slow=True).scores, whole)
    padded = torch.ones_like(IDS)
    padded[0, :3] = 0
    with pytest.raises(ValueError, match="one sequence at a time"):
        moved.network(IDS, attention_mask=padded)
    with pytest.raises(ValueError, match="packed rows"):
        moved.network(IDS[:1], position_ids=torch.tensor([[*range(6), *range(4)]]), use_cache=False)
    with pytest.raises(ValueError, match="static cache"):
        moved.network.generate(IDS, max_new_tokens=3, cache_implementation="static", pad_token_id=1)


@torch.no_grad()
def test_watching_leaves_momentum_in(moved):
    expected, seen = moved.network(IDS[:1]).logits, []
    with gpt.watch(moved, [9], lambda layer, attended: seen.append(layer)):
        watched = moved.network(IDS[:1]).logits
    assert seen == [0, 1, 2]
    assert torch.equal(watched, expected)
    assert torch.equal(moved.network(IDS[:1]).logits, expected)


def test_loading_with_momentum_and_without(plain, tmp_path):
    plain.network.float().save_pretrained(tmp_path)
    plain.tokenizer.save_pretrained(tmp_path)
    assert gpt_momentum.etas(gpt.load(str(tmp_path)).network) == []
    loaded = gpt.load(str(tmp_path), attention="momentum")
    assert [eta.tolist() for eta in gpt_momentum.etas(loaded.network)] == [[0.0] * 4] * 3
    assert gpt.load(str(tmp_path), dtype="bfloat16", attention="momentum").network.dtype == torch.bfloat16
    with pytest.raises(ValueError, match="softmax, momentum"):
        gpt.load(str(tmp_path), attention="momentun")


@pytest.mark.parametrize("family", ["gpt2", "xglm"])
def test_other_families_are_refused(family):
    with pytest.raises(ValueError, match="only Llama's family"):
        gpt_momentum.add_momentum(tiny(family, torch.float32).network)


@pytest.mark.real
@torch.no_grad()
def test_the_real_model_is_unchanged_until_it_learns(real):
    ids = torch.tensor([real.bos + real.encode("In the valley a ball rolls on: it remembers where it came from. " * 8)])
    moved = gpt.load(real.name, attention="momentum")
    assert torch.equal(moved.network(ids).logits, real.network(ids).logits)
    options = {"max_new_tokens": 8, "do_sample": False, "attention_mask": torch.ones_like(ids), "pad_token_id": 2}
    assert moved.network.generate(ids, **options).tolist() == real.network.generate(ids, **options).tolist()
