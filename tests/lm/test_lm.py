"""The small language model: each attention, whole sequences and token by token; training, and what it writes."""

import itertools
import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from helpers import lm
from helpers.lm import ATTENTION, LanguageModel, Shape, TrainingConfig
from helpers.support import ROOT

SHAPE = Shape(vocabulary=300, context=16, layers=2, heads=2, width=16)
CONFIG = TrainingConfig(steps=6, batch=3, warmup=2)
TEXTS = ("to be or not to be, that is the question", "", "be that as it may, it is not the question " * 5)
MOMENTUM = ("momentum", "momentum-linear")


def model(kind="softmax", eta=0.5, **more):
    return LanguageModel(replace(SHAPE, attention=kind, eta=eta, **more), seed=1)


def awake(kind, eta=0.5):
    """In float64, with every parameter away from where it starts: slopes and filters do something."""
    found = model(kind, eta).double()
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, weight in found.named_parameters():
            noise = torch.rand(weight.shape, generator=rng, dtype=weight.dtype)
            weight.copy_(0.9 * noise if name.endswith("eta") else weight + 0.4 * (noise - 0.5))
    return found


def tokens(n=200, seed=0):
    return torch.randint(300, (n,), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ATTENTION)
def test_token_by_token_is_all_at_once(kind):
    network, ids, past = awake(kind, "learned" if kind in MOMENTUM else 0.5), tokens(22).reshape(2, 11), []
    whole = network(ids)
    for place in range(11):
        logits, past = network.step(ids[:, place], place, past)
        assert_close(logits, whole[:, place], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ATTENTION)
def test_no_token_sees_a_later_one(kind):
    network, ids = awake(kind), tokens(12)[None]
    other = ids.clone()
    other[0, 7:] = 0
    assert_close(network(other)[:, :7], network(ids)[:, :7])
    assert not torch.allclose(network(other)[:, 7:], network(ids)[:, 7:])


@pytest.mark.parametrize("kind", ["momentum", "recency", "convolution"])
@pytest.mark.parametrize("eta", [0.0, "learned"])
def test_at_first_the_rivals_are_plain_attention(kind, eta):
    """With the same weights: paired runs start from one and the same model."""
    ids = tokens(32).reshape(2, 16)
    plain, rival = model(), model(kind, eta)
    for name, weight in plain.named_parameters():
        assert torch.equal(weight, rival.get_parameter(name))
    if kind == "recency":  # one more entry in every key, which is 0: the same but for rounding
        assert_close(rival(ids), plain(ids))
    else:
        assert torch.equal(rival(ids), plain(ids))


def test_parameters_are_matched():
    """The rivals have at most two in a hundred more than plain attention, which has all that they have."""
    count = {kind: sum(w.numel() for w in model(kind, "learned", width=64).parameters()) for kind in ATTENTION}
    assert all(0 <= count[kind] - count["softmax"] <= 0.02 * count["softmax"] for kind in ATTENTION), count


def test_a_slope_is_a_bias_on_distance():
    """Recency by its definition: scores − slope · (t − i), softmax, values."""
    mix = ATTENTION["recency"](SHAPE).double()
    mix.slope.data[:] = torch.tensor([0.3, 1.7])
    q, k, v = (
        torch.randn(1, 2, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in range(3)
    )
    ages = torch.arange(9)[:, None] - torch.arange(9)
    scores = q @ k.mT / 8**0.5 - mix.slope[:, None, None] * ages
    expected = scores.masked_fill(ages < 0, float("-inf")).softmax(-1) @ v
    assert_close(mix(q, k, v), expected)


@pytest.mark.parametrize("kind", ATTENTION)
def test_it_learns(kind):
    """A text that repeats itself: far below the loss of knowing nothing, for every kind."""
    ids = torch.arange(10).repeat(40)
    network, config = model(kind, "learned"), TrainingConfig(steps=60, batch=4, lr=1e-2, warmup=5)
    losses = lm.train(network, ids, config)
    assert losses[0] > 5
    assert sum(losses[-5:]) / 5 < 1


def test_eta_is_learned_from_zero_and_stays_where_it_may():
    network = model("momentum", "learned")
    assert all(torch.equal(eta, torch.zeros(2)) for eta in network.etas)
    seen = []
    for _ in lm.training_steps(network, tokens(), replace(CONFIG, lr=0.9, clip=1e9)):
        seen.append(torch.stack(list(network.etas)).detach().clone())
        assert all((eta >= 0).all() and (eta <= 0.999).all() for eta in seen)
    assert seen[-1].abs().max() > 0
    assert any((eta == 0).any() or (eta == seen[0].new_tensor(0.999)).any() for eta in seen)


def test_every_kind_sees_the_same_windows_and_another_seed_others():
    one, same = (lm.random_windows(tokens(), 16, 3, seed=0, step=3) for _ in range(2))
    assert torch.equal(one, same)
    assert one.shape == (3, 17)
    assert not torch.equal(one, lm.random_windows(tokens(), 16, 3, seed=0, step=4))
    assert not torch.equal(one, lm.random_windows(tokens(), 16, 3, seed=1, step=3))


def test_the_rate_rises_and_falls():
    config = TrainingConfig(steps=100, warmup=10, lr=1.0)
    rates = [config.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_a_rate_too_high_ends_in_a_sentence():
    with pytest.raises(
        ArithmeticError, match=r"After \d+ steps the loss is (nan|inf): the learning rate, now .* too high\.\nStart"
    ):
        lm.train(model(), tokens(), replace(CONFIG, lr=1e20, steps=50))


def test_a_vocabulary_says_everything_and_learns_what_is_frequent():
    tokenizer = lm.vocabulary(TEXTS, 300)
    assert tokenizer.get_vocab_size() <= 300
    for text in (*TEXTS, "ünïcödé ≠ ascii\n\ttabs"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert "Ġquestion" in tokenizer.get_vocab()
    assert lm.vocabulary(TEXTS, 300).to_str() == tokenizer.to_str()


def test_documents_end_with_an_end():
    tokenizer = lm.vocabulary(TEXTS, 300)
    ids, end = lm.encode(tokenizer, TEXTS), tokenizer.token_to_id(lm.END)
    assert (ids == end).sum() == 2  # the empty document is none
    assert ids[-1] == end
    assert tokenizer.decode(ids.tolist()) == TEXTS[0] + TEXTS[2]


@pytest.mark.parametrize("documents", [(), ("",), ("", "")])
def test_an_empty_corpus_is_a_sentence(documents):
    for function in (lm.vocabulary, lambda texts: lm.encode(lm.vocabulary(TEXTS, 300), texts)):
        with pytest.raises(ValueError, match=r"the corpus is empty: there is no text in any of its documents\.$"):
            function(documents)


def test_too_few_tokens_are_a_sentence():
    with pytest.raises(ValueError, match="random_windows: 16 tokens are too few for windows of 16 and the next one"):
        lm.train(model(), tokens(16), CONFIG)
    with pytest.raises(ValueError, match="losses_by_position: 16 tokens are too few"):
        lm.losses_by_position(model(), tokens(16))


def test_a_context_longer_than_trained_for_is_warned_of_once():
    network = model()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        network(tokens(16)[None])
        assert not caught
        network(tokens(17)[None])
        network(tokens(40)[None])
        network.step(tokens(1), 30, [])
    assert len(caught) == 1
    assert "17 tokens are more than the 16 this model was trained on" in str(caught[0].message)


def test_losses_by_position_are_means_over_windows():
    network, ids = model(), tokens(16 * 5 + 3)
    by_hand = torch.stack([network.losses(ids[None, s : s + 17])[0] for s in range(0, 80, 16)]).mean(0)
    assert_close(lm.losses_by_position(network, ids, batch=2), by_hand)


def test_losses_are_nats_of_the_next_token():
    network, ids = model(), tokens(10)[None]
    chances = network(ids).log_softmax(-1)
    by_hand = torch.stack([-chances[0, place, ids[0, place + 1]] for place in range(9)])
    assert_close(network.losses(ids)[0], by_hand)


TOKENIZER = lm.vocabulary(TEXTS, 300)


@pytest.mark.parametrize("kind", ATTENTION)
@pytest.mark.parametrize("temperature", [0, 0.0, 1e-45, 1e-6])
def test_at_temperature_zero_every_token_is_the_likeliest(kind, temperature):
    """Against the plain loop without a cache; a temperature near 0 is the same."""
    network, end = awake(kind).float(), TOKENIZER.token_to_id(lm.END)
    ids = [end, *TOKENIZER.encode("be or ").ids]
    start = len(ids)
    while len(ids) < start + 6 and ids[start:][-1:] != [end]:
        ids.append(network(torch.tensor([ids]))[0, -1].argmax().item())
    text = lm.generate(network, TOKENIZER, "be or ", tokens=6, temperature=temperature)
    assert text == TOKENIZER.decode(ids[start:])
    assert len(ids) > start


@pytest.mark.parametrize("temperature", [-1, -1e-9, float("nan"), float("inf"), float("-inf")])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match=r"temperature = .* has no meaning.*\nChoose 0 for the likeliest token"):
        lm.generate(model(), TOKENIZER, "the", 5, temperature=temperature)


@pytest.mark.parametrize("count", [0, -3])
def test_fewer_tokens_than_one_are_refused(count):
    with pytest.raises(ValueError, match=rf"tokens = {count} leaves nothing to write\.\nAsk for at least one"):
        lm.generate(model(), TOKENIZER, "the", count)


def test_an_empty_prompt_begins_a_document():
    """The first token is drawn from what follows END."""
    network = model()
    first = network(torch.tensor([[TOKENIZER.token_to_id(lm.END)]]))[0, -1].argmax().item()
    assert lm.generate(network, TOKENIZER, "", tokens=1, temperature=0) == TOKENIZER.decode([first])


def test_an_attention_nobody_knows_lists_those_there_are():
    with pytest.raises(ValueError, match=r"no attention called 'sofmax'\. There are: softmax, .*momentum-linear"):
        model("sofmax")


@pytest.mark.parametrize("eta", [1.0, -0.1, float("nan")])
@pytest.mark.parametrize("kind", MOMENTUM)
def test_an_eta_outside_its_range_makes_no_model(kind, eta):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\): at 1 nothing is ever forgotten"):
        model(kind, eta)


def test_the_small_model_loads_no_other_and_no_figure():
    code = "import sys, helpers.lm; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "helpers.lm.training" in loaded
    assert not loaded & {"transformers", "matplotlib", "helpers.check", "helpers.gpt", "helpers.icl", "helpers.plots"}


@pytest.mark.real
def test_the_manual_is_long_documents_in_three_splits():
    splits = {split: lm.corpus(split) for split in ("train", "dev", "test")}
    texts = [text for split in splits.values() for text in split]
    assert len(texts) == len(set(texts)) > 600
    assert sum(map(len, texts)) > 5e6
    assert all(sum(map(len, split)) > 4e5 for split in splits.values())
    assert sum(len(text) > 8000 for text in texts) > 100
