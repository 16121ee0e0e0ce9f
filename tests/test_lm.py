"""The small language model: each attention, whole sequences and token by token; training, stopping, going on."""

import itertools
import warnings
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from helpers import lm
from helpers.lm import ATTENTION, LanguageModel, Recipe, Shape

SHAPE = Shape(vocabulary=300, context=16, layers=2, heads=2, width=16)
RECIPE = Recipe(steps=6, batch=3, warmup=2)
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
    network, recipe = model(kind, "learned"), Recipe(steps=60, batch=4, lr=1e-2, warmup=5)
    losses = lm.train(network, ids, recipe)
    assert losses[0] > 5
    assert sum(losses[-5:]) / 5 < 1


def test_eta_is_learned_from_zero_and_stays_where_it_may():
    network = model("momentum", "learned")
    assert all(torch.equal(eta, torch.zeros(2)) for eta in network.etas)
    seen = []
    for _ in lm.training(network, tokens(), replace(RECIPE, lr=0.9, clip=1e9)):
        seen.append(torch.stack(list(network.etas)).detach().clone())
        assert all((eta >= 0).all() and (eta <= 0.999).all() for eta in seen)
    assert seen[-1].abs().max() > 0
    assert any((eta == 0).any() or (eta == seen[0].new_tensor(0.999)).any() for eta in seen)


def test_every_kind_sees_the_same_batches_and_another_seed_others():
    one, same = (lm.batch(tokens(), 16, RECIPE, 3) for _ in range(2))
    assert torch.equal(one, same)
    assert one.shape == (3, 17)
    assert not torch.equal(one, lm.batch(tokens(), 16, RECIPE, 4))
    assert not torch.equal(one, lm.batch(tokens(), 16, replace(RECIPE, seed=1), 3))


def test_the_rate_rises_and_falls():
    recipe = Recipe(steps=100, warmup=10, lr=1.0)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def stopped(path, after, kind="momentum", recipe=RECIPE, every=2):
    """A run that ends early, as if killed; its model."""
    network = model(kind, "learned")
    for step, _ in lm.training(network, tokens(), recipe, checkpoint=path, every=every):
        if step + 1 == after:
            break
    return network


def weights(network):
    return torch.cat([w.detach().flatten() for w in network.parameters()])


@pytest.fixture
def whole_run():
    network = model("momentum", "learned")
    return lm.train(network, tokens(), RECIPE), weights(network)


@pytest.mark.parametrize(("after", "kept"), [(1, 0), (3, 2), (5, 4), (6, 6)])
def test_a_stopped_run_goes_on_as_if_nothing_had_been(tmp_path, whole_run, after, kept):
    stopped(tmp_path / "run.pt", after)
    network = model("momentum", "learned")
    assert lm.train(network, tokens(), RECIPE, checkpoint=tmp_path / "run.pt") == whole_run[0][kept:]
    assert torch.equal(weights(network), whole_run[1])


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no zip"])
def test_a_checkpoint_cut_short_is_named_and_the_one_before_is_used(tmp_path, whole_run, capsys, damage):
    path = tmp_path / "run.pt"
    stopped(path, 4)
    path.write_bytes(damage(path.read_bytes()))
    network = model("momentum", "learned")
    assert lm.train(network, tokens(), RECIPE, checkpoint=path) == whole_run[0][2:]
    assert torch.equal(weights(network), whole_run[1])
    said = capsys.readouterr().out
    assert f"The checkpoint {path} is cut short or damaged" in said
    assert said.count("\n") == 1


def test_without_one_before_it_starts_anew(tmp_path, whole_run, capsys):
    path = tmp_path / "run.pt"
    stopped(path, 2)
    path.write_bytes(path.read_bytes()[:-100])
    assert lm.train(model("momentum", "learned"), tokens(), RECIPE, checkpoint=path) == whole_run[0]
    assert "run.pt.refused" in capsys.readouterr().out
    assert (tmp_path / "run.pt.refused").exists()


def test_a_checkpoint_of_another_shape_is_named_and_kept(tmp_path, capsys):
    path = tmp_path / "run.pt"
    stopped(path, 3)
    wide = LanguageModel(replace(SHAPE, attention="momentum", width=32))
    assert len(lm.train(wide, tokens(), RECIPE, checkpoint=path)) == 6
    assert "is of another shape (width 16, here 32): not used, and kept as run.pt.refused" in capsys.readouterr().out
    assert torch.load(tmp_path / "run.pt.refused", weights_only=True)["shape"]["width"] == 16


def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(tmp_path, capsys):
    stopped(tmp_path / "run.pt", 2)
    lm.train(model("momentum", "learned"), tokens(), replace(RECIPE, lr=1e-3), checkpoint=tmp_path / "run.pt")
    assert "another recipe (lr 0.003, here 0.001)" in capsys.readouterr().out


def test_a_rate_too_high_ends_in_a_sentence():
    with pytest.raises(ArithmeticError, match=r"After \d+ steps the loss is (nan|inf): lr = 1e\+20 is too high"):
        lm.train(model(), tokens(), replace(RECIPE, lr=1e20, steps=50))


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
    with pytest.raises(ValueError, match="batch: 16 tokens are too few for windows of 16 and the next one"):
        lm.train(model(), tokens(16), RECIPE)
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


@pytest.mark.parametrize("kind", ATTENTION)
def test_generation_goes_on_with_what_is_likeliest(kind):
    """At a temperature near 0 it is the plain loop without a cache."""
    tokenizer = lm.vocabulary(TEXTS, 300)
    network, prompt = awake(kind), "be or "
    said = lm.generate(network, tokenizer, prompt, tokens=6, temperature=1e-6)
    ids = [tokenizer.token_to_id(lm.END), *tokenizer.encode(prompt).ids]
    start = len(ids)
    for _ in range(6):
        ids.append(network(torch.tensor([ids]))[0, -1].argmax().item())
        if ids[-1] == tokenizer.token_to_id(lm.END):
            break
    assert said == tokenizer.decode(ids[start:])
    assert len(ids) > start


def test_an_attention_nobody_knows_lists_those_there_are():
    with pytest.raises(ValueError, match=r"no attention called 'sofmax'\. There are: softmax, .*momentum-linear"):
        model("sofmax")


@pytest.mark.parametrize("eta", [1.0, -0.1])
def test_an_eta_outside_its_range_is_refused_when_it_is_used(eta):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\): at 1 nothing is ever forgotten"):
        model("momentum", eta)(tokens(4)[None])


@pytest.mark.real
def test_the_manual_is_long_documents_in_three_splits():
    splits = {split: lm.corpus(split) for split in ("train", "dev", "test")}
    texts = [text for split in splits.values() for text in split]
    assert len(texts) == len(set(texts)) > 600
    assert sum(map(len, texts)) > 5e6
    assert all(sum(map(len, split)) > 4e5 for split in splits.values())
    assert sum(len(text) > 8000 for text in texts) > 100
