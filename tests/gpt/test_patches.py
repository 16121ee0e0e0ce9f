"""A prompt absorbed into weights for one query: exact on a tiny model, near enough on the real one, undone after."""

import pytest
import torch
from tiny import tiny
from torch.testing import assert_close

from helpers.gpt import patches

PROMPT, QUERY = "go -> went\nsee -> saw\n", "take ->"


@pytest.fixture
def llama():
    return tiny("llama", torch.float64)


@torch.no_grad()
def logits(model, text):
    """Of the token after a text, in the model's own precision."""
    return model.network(torch.tensor([model.bos + model.encode(text)])).logits[0, -1]


def dense(patch):
    return torch.einsum("lrm,lrd->lmd", patch.left, patch.right)


def first_weights(model):
    """Every layer's gate and up projection, one above the other."""
    mlps = [layer.mlp for layer in model.network.model.layers]
    return torch.stack([torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) for mlp in mlps])


@pytest.mark.parametrize("query", ["take ->", "x", "a longer one that has many tokens of its own ->"])
def test_a_patched_model_answers_as_behind_the_prompt(llama, query):
    patch = patches.absorb(llama, PROMPT, query)
    behind, alone = logits(llama, PROMPT + query), logits(llama, query)
    with patches.patched(llama, patch):
        assert_close(logits(llama, query), behind, rtol=0, atol=1e-10)
    assert (alone - behind).abs().max() > 0.1


def test_a_patch_is_rank_one_in_every_layer_and_needs_its_shift(llama):
    patch = patches.absorb(llama, PROMPT, QUERY)
    assert (patch.left.shape, patch.right.shape, patch.shift.shape) == ((3, 1, 128), (3, 1, 32), (3, 32))
    assert torch.linalg.matrix_rank(dense(patch)).tolist() == [1, 1, 1]
    behind = logits(llama, PROMPT + QUERY)
    for part in ("left", "shift"):
        with patches.patched(llama, patches.Patch(**vars(patch) | {part: 0 * getattr(patch, part)})):
            assert (logits(llama, QUERY) - behind).abs().max() > 1e-3


def test_a_patch_belongs_to_its_query(llama):
    with patches.patched(llama, patches.absorb(llama, PROMPT, QUERY)):
        other = logits(llama, "make ->")
    assert (other - logits(llama, PROMPT + "make ->")).abs().max() > 0.1


def test_no_prompt_leaves_nothing_to_absorb(llama):
    patch = patches.absorb(llama, "", QUERY)
    assert not patch.left.any()
    assert not patch.shift.any()


def test_the_weights_change_by_the_patch_and_come_back_bitwise(llama):
    before, fingerprint, answer = first_weights(llama), llama.fingerprint(), logits(llama, QUERY)
    patch = patches.absorb(llama, PROMPT, QUERY)
    assert llama.fingerprint() == fingerprint
    with patches.patched(llama, patch):
        assert_close(first_weights(llama) - before, dense(patch))
    assert llama.fingerprint() == fingerprint
    assert torch.equal(logits(llama, QUERY), answer)  # no hook is left either


def fail(model):
    with patches.patched(model, patches.absorb(model, PROMPT, QUERY)):
        raise ValueError("anything")


def test_the_weights_come_back_whatever_happens(llama):
    fingerprint, answer = llama.fingerprint(), logits(llama, QUERY)
    with pytest.raises(ValueError, match="anything"):
        fail(llama)
    assert llama.fingerprint() == fingerprint
    assert torch.equal(logits(llama, QUERY), answer)


def test_the_weights_come_back_when_a_layer_cannot_be_patched(llama):
    """The first layer is patched by then; the second sees nothing, and no patch moves what is zero."""
    llama.network.model.layers[1].post_attention_layernorm.weight.zero_()
    fingerprint, answer = llama.fingerprint(), logits(llama, QUERY)
    with pytest.raises(ValueError, match="before is 0"):
        patches.absorb(llama, PROMPT, QUERY)
    assert llama.fingerprint() == fingerprint
    assert torch.equal(logits(llama, QUERY), answer)


def test_a_mean_is_the_mean_of_the_changes(llama):
    several = [patches.absorb(llama, PROMPT, query) for query in (QUERY, "make ->", "be ->")]
    average, before = patches.mean(several), first_weights(llama)
    assert average.left.shape == (3, 3, 128)
    expected = sum(dense(patch) for patch in several) / 3
    assert_close(dense(average), expected)
    assert_close(average.shift, sum(patch.shift for patch in several) / 3)
    with patches.patched(llama, average):
        assert_close(first_weights(llama) - before, expected)


def test_the_mean_of_one_is_that_one(llama):
    patch = patches.absorb(llama, PROMPT, QUERY)
    assert_close(vars(patches.mean([patch])), vars(patch))


@pytest.mark.parametrize("family", ["gpt2", "xglm"])
def test_a_family_without_gated_mlps_is_told_so(llama, family):
    model, patch = tiny(family, torch.float64), patches.absorb(llama, PROMPT, QUERY)
    message = rf"^{type(model.network).__name__} has no gated MLPs .*\n.*\.$"
    with pytest.raises(ValueError, match=message):
        patches.absorb(model, PROMPT, QUERY)
    with pytest.raises(ValueError, match=message), patches.patched(model, patch):
        pass


@pytest.mark.parametrize("query", ["", " ", "\n"])
def test_an_empty_query_is_refused_and_changes_nothing(llama, query):
    fingerprint = llama.fingerprint()
    with pytest.raises(ValueError, match=r"^The text is empty: .*\.$"):
        patches.absorb(llama, PROMPT, query)
    assert llama.fingerprint() == fingerprint


def test_the_next_token_is_the_networks(llama):
    assert_close(patches.next_token(llama, PROMPT), logits(llama, PROMPT).float())


@pytest.mark.real
def test_three_word_pairs_can_be_taken_from_the_real_models_prompt(real):
    prompt, query, fingerprint = "go -> went\nsee -> saw\ntake -> took\n", "eat ->", real.fingerprint()
    patch = patches.absorb(real, prompt, query)
    behind, alone = patches.next_token(real, prompt + query), patches.next_token(real, query)
    with patches.patched(real, patch):
        instead = patches.next_token(real, query)
    assert_close(instead, behind, rtol=0, atol=1e-3)
    assert instead.argmax() == behind.argmax() != alone.argmax()
    assert (alone - behind).abs().max() > 1
    assert real.fingerprint() == fingerprint
