"""The transfer ladder: patches made together are those made one by one, and its scores mean what they say."""

import pytest
import torch
from tiny import tiny
from torch.testing import assert_close

from helpers.experiments import transfer
from helpers.gpt import patches

PROMPT, ASKED = "go -> went\nsee -> saw\n", ["take ->", "x", "a longer one that has many tokens of its own ->"]


@pytest.fixture
def llama():
    return tiny("llama", torch.float64)


@pytest.fixture
def together(llama):
    """The patches of all queries, and the queries' tokens."""
    prompts = [llama.encode(text) for text in ASKED]
    return transfer.absorbed(llama, llama.bos + llama.encode(PROMPT), prompts), prompts


def one_by_one(llama):
    return [patches.absorb(llama, PROMPT, text) for text in ASKED]


def test_patches_made_together_are_those_made_one_by_one(llama, together):
    for place, alone in enumerate(one_by_one(llama)):
        for part, name in enumerate(("left", "right", "shift")):
            found = torch.stack([layer[part][place] for layer in together[0]])
            assert_close(found, getattr(alone, name), rtol=1e-8, atol=1e-9)


def test_what_is_said_under_a_patch_is_what_the_changed_weights_say(llama, together, monkeypatch):
    made, prompts = together
    for other in range(3):
        with patches.patched(llama, one_by_one(llama)[other]):
            expected = [patches.next_token(llama, text).argmax().item() for text in ASKED]
        assert transfer.under(llama, made, [other] * 3, prompts) == expected
    monkeypatch.setattr(transfer, "AVERAGED", 2)
    with patches.patched(llama, patches.mean(one_by_one(llama)[:2])):
        expected = [patches.next_token(llama, text).argmax().item() for text in ASKED]
    assert transfer.under(llama, transfer.means(made), [0] * 3, prompts) == expected


def test_the_model_is_as_before(llama, together):
    assert not any(module._forward_hooks for module in llama.network.modules())


def test_no_pair_of_the_controls_is_right():
    true, moved, made_up = (transfer.drawn_as(shown, 0).demos for shown in transfer.SHOWN)
    assert [demo.text for demo in true] == [demo.text for demo in moved] == [demo.text for demo in made_up]
    assert all(wrong.label not in right.answers for wrong, right in zip(moved, true, strict=True))
    assert sorted(demo.label for demo in true) == sorted(demo.label for demo in moved)
    assert len({demo.label for demo in made_up} | {demo.label for demo in true}) == 2 * len(true)


def test_the_layer_is_the_best_of_the_development_draws():
    rows = transfer.LAYERS_TRIED.rows()
    totals = [sum(row["result"]["layers"][layer].count("1") for row in rows) for layer in range(29)]
    assert totals[transfer.best_layer()] == max(totals)
    assert {row["cell"]["layer"] for row in transfer.TRANSFER.rows()} == {transfer.best_layer()}


def test_own_patches_say_what_the_prompt_says_and_scores_are_nested():
    for row in transfer.TRANSFER.rows():
        scores = row["result"]["scores"]
        assert scores["own"]["as prompt"].count("0") <= 1  # a near tie may fall to the other side
        for marks in scores.values():
            assert all(right <= kind for right, kind in zip(marks["right"], marks["kind"], strict=True))
