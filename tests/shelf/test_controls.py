"""The controls do what their names say, on tiny models of three families; the slow parts on the real one."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import family, free_task, small_task, tiny
from torch import nn

from helpers import controls, gpt, icl, metrics, tasks
from helpers.controls import Recipe

RATE = 0.01


def demos(task):
    return [(demo.text, demo.label) for demo in task.demos]


def test_flipped_labels_are_the_next_ones_and_flipping_all_the_way_round_changes_nothing():
    task = small_task(("a", "b", "c"))
    flipped = controls.flipped_labels(task)
    assert [label for _, label in demos(flipped)] == ["b", "c", "a"]
    assert flipped.queries == task.queries
    assert controls.flipped_labels(controls.flipped_labels(flipped)) == task


def test_flipped_free_answers_move_on_by_one_demonstration():
    task = tasks.load("past", 4, 0, queries=3)
    flipped = controls.flipped_labels(task)
    assert [d.label for d in flipped.demos] == [task.demos[i - 1].label for i in range(4)]
    assert [d.answers for d in flipped.demos] == [task.demos[i - 1].answers for i in range(4)]
    assert [d.text for d in flipped.demos] == [d.text for d in task.demos]


def test_shuffled_labels_keep_texts_and_counts():
    task = tasks.load("past", 16, 0, queries=3)
    shuffled = controls.shuffled_labels(task, 0)
    assert [d.text for d in shuffled.demos] == [d.text for d in task.demos]
    assert sorted(d.label for d in shuffled.demos) == sorted(d.label for d in task.demos)
    assert shuffled != task
    assert shuffled != controls.shuffled_labels(task, 1)


def test_other_and_reversed_demonstrations_leave_the_queries():
    task = tasks.load("past", 16, 0, queries=3)
    other = controls.other_demonstrations(task, 1)
    assert other.queries == task.queries
    assert other.demos == tasks.load("past", 16, 1, queries=3).demos
    assert controls.reversed_demonstrations(task).demos == tuple(reversed(task.demos))


def test_the_papers_recipe_is_the_papers_finetuning(model):
    task = small_task()
    found = controls.finetune(model, task, Recipe(RATE))
    with controls.holding(model, found.weights):
        ours = icl.zero_shot(model, replace(task, demos=()), internals=True)
    theirs = icl.finetuned(model, task, RATE, internals=True)
    assert torch.equal(ours.scores, theirs.scores)
    assert torch.equal(ours.internals.outputs, theirs.internals.outputs)
    assert torch.equal(found.queries, theirs.internals.training_queries)


@pytest.mark.parametrize("learns", ["keys and values", "mlp", "all"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_finetuning_moves_what_it_says_and_gives_the_model_back(model, learns, optimizer):
    before = model.fingerprint()
    recipe = Recipe(RATE, learns, optimizer, passes=2, answer_only=True, clip=0.5)
    found = controls.finetune(model, small_task(), recipe)
    assert model.fingerprint() == before
    own = dict(model.network.named_parameters())
    assert set(found.weights) == set(controls.learning(model.network, learns))
    assert any(not torch.equal(own[name], weight) for name, weight in found.weights.items())


def test_unknown_weights_are_refused(model):
    with pytest.raises(ValueError, match="keys and values, mlp, all"):
        controls.learning(model.network, "heads")


def test_the_loss_of_all_tokens_is_the_language_models(model):
    ids = [5, 6, 7, 8]
    with torch.no_grad():
        whole = gpt.language_model_loss(model, ids)
    torch.testing.assert_close(controls.token_losses(model, ids).mean(), whole)


def test_an_answers_loss_moves_nothing_where_only_other_tokens_are_wrong(model):
    """The gradient of the answer's loss is another one than that of all tokens."""
    whole, answer = (controls.finetune(model, small_task(), Recipe(RATE, answer_only=only)) for only in (False, True))
    assert any(not torch.equal(whole.weights[name], answer.weights[name]) for name in whole.weights)


def test_a_clipped_step_is_as_long_as_it_may_be(model):
    task = replace(small_task(), demos=small_task().demos[:1])
    long, short = (controls.finetune(model, task, Recipe(RATE, clip=clip)).weights for clip in (float("inf"), 1e-3))
    own = dict(model.network.named_parameters())
    norm = torch.stack([(short[name] - own[name]).double().norm() for name in short]).norm()
    assert norm == pytest.approx(RATE * 1e-3, rel=1e-2)
    assert torch.stack([(long[name] - own[name]).double().norm() for name in long]).norm() > norm


def test_holding_gives_back_every_bit_after_an_error(model):
    before = model.fingerprint()
    weights = {name: weight + 1 for name, weight in gpt.key_and_value_weights(model.network).items()}

    def fail():
        with controls.holding(model, weights):
            assert model.fingerprint() != before
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert model.fingerprint() == before


def test_a_random_update_is_as_long_as_the_one_it_replaces_and_points_elsewhere(model):
    found, own = controls.finetune(model, small_task(), Recipe(RATE)).weights, dict(model.network.named_parameters())
    noise = controls.random_update(model, found, seed=1)
    for name, after in found.items():
        change, drawn = (after - own[name]).double(), (noise[name] - own[name]).double()
        assert drawn.norm() == pytest.approx(change.norm().item(), rel=1e-2)
        if change.numel() > 100 and change.norm() > 0:
            assert abs((change * drawn).sum() / change.norm() ** 2) < 0.3


def test_a_change_is_scaled_until_its_updates_are_as_long_as_asked(model):
    task = small_task()
    weights = controls.finetune(model, task, Recipe(RATE, "mlp")).weights
    bare = replace(task, demos=())
    base = icl.zero_shot(model, bare, internals=True).internals.outputs

    def length(these):
        with controls.holding(model, these):
            return controls.relative_length(icl.zero_shot(model, bare, internals=True).internals.outputs, base)

    wanted = length(controls.scaled(model, weights, 0.3))
    assert length(controls.matched_length(model, task, weights, wanted)) == pytest.approx(wanted, rel=0.02)
    assert all(torch.equal(w, weights[name]) for name, w in controls.scaled(model, weights, 1.0).items())


def literal_layer_causal(model, task, lr):
    """Deutch et al.'s procedure word by word for a Llama: one layer at a time, attention written out."""
    network = model.network
    weights = {name: w.detach().clone() for name, w in gpt.key_and_value_weights(network).items()}
    layers, heads, width = model.attention_shape
    for demo in icl.demo_ids(model, task):
        ids = model.bos + demo
        for last in range(1, len(ids)):
            with controls.holding(model, weights):
                inputs, places = layer_inputs(network, ids[:last])
            for layer in range(layers):
                attention = network.model.layers[layer].self_attn
                x = inputs[layer]
                names = [f"model.layers.{layer}.self_attn.{part}_proj.weight" for part in "kv"]
                w_k, w_v = (weights[name].clone().requires_grad_() for name in names)
                out = one_row(attention, x, w_k, w_v, places, heads, width)
                logits = network.lm_head(network.model.norm(out))
                loss = nn.functional.cross_entropy(logits[None], torch.tensor([ids[last]]))
                for name, gradient in zip(names, torch.autograd.grad(loss, (w_k, w_v)), strict=True):
                    weights[name] = weights[name] - lr * gradient
    return weights


@torch.no_grad()
def layer_inputs(network, ids):
    """What every layer's attention reads, after its norm."""
    hidden = network.model.embed_tokens(torch.tensor([ids]))
    place = torch.arange(len(ids))[None]
    places = network.model.rotary_emb(hidden, place)
    found, n = [], len(ids)
    mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
    for layer in network.model.layers:
        found.append(layer.input_layernorm(hidden)[0])
        hidden = layer(hidden, attention_mask=mask, position_ids=place, position_embeddings=places)
        hidden = hidden if isinstance(hidden, torch.Tensor) else hidden[0]
    return found, places


def one_row(attention, x, w_k, w_v, places, heads, width):
    """The last token's attention output, head by head."""
    cos, sin = (angle[0] for angle in places)

    def turned(rows):
        half = rows.shape[-1] // 2
        return rows * cos + torch.cat([-rows[..., half:], rows[..., :half]], -1) * sin

    outputs, group = [], heads // (w_k.shape[0] // width)
    for head in range(heads):
        own, shared = slice(head * width, (head + 1) * width), slice(head // group * width, (head // group + 1) * width)
        q = turned(x @ attention.q_proj.weight[own].T)[-1].detach()
        k, v = turned(x @ w_k[shared].T), x @ w_v[shared].T
        outputs.append((k @ q / width**0.5).softmax(0) @ v)
    return attention.o_proj(torch.cat(outputs))


def test_layer_causal_steps_are_the_literal_ones():
    model = tiny("llama", torch.float64)
    task = small_task()
    fast = controls.layer_causal_steps(model, task, 0.05)
    slow = literal_layer_causal(model, task, 0.05)
    own = dict(model.network.named_parameters())
    for name, weight in fast.items():
        change, expected = weight - own[name], slow[name] - own[name]
        assert (change - expected).norm() < 1e-5 * expected.norm()  # logits are float32


def test_layer_causal_steps_of_a_low_layer_do_not_depend_on_those_above():
    """What tells them from finetuning: the same first layer under other upper layers learns the same."""
    model = tiny("llama", torch.float64)
    task = replace(small_task(), demos=small_task().demos[:1])
    found = controls.layer_causal_steps(model, task, 0.05)
    with torch.no_grad():
        model.network.model.layers[2].mlp.down_proj.weight.mul_(3)
        model.network.model.layers[1].self_attn.v_proj.weight.mul_(3)
    again = controls.layer_causal_steps(model, task, 0.05)
    for part in ("k_proj", "v_proj"):
        name = f"model.layers.0.self_attn.{part}.weight"
        torch.testing.assert_close(found[name], again[name])


def test_an_untrained_network_keeps_its_embeddings_if_asked(model):
    kept, none = (controls.untrained(model, 1, embeddings=embeddings) for embeddings in (True, False))
    old, new, random = (m.network.get_input_embeddings().weight for m in (model, kept, none))
    assert torch.equal(old, new)
    assert not torch.equal(old, random)
    differ = [n for n, w in kept.network.named_parameters() if not torch.equal(w, model.network.get_parameter(n))]
    assert any("k_proj" in name or "c_attn" in name for name in differ)
    state = torch.random.get_rng_state()
    controls.untrained(model, 0)
    assert torch.equal(state, torch.random.get_rng_state())


def predictions(scores, gold):
    scores, gold = torch.tensor(scores), torch.tensor(gold)
    return icl.Predictions(scores, scores.argmax(1) == gold, gold)


def test_bias_only_has_the_prompts_label_means_and_zero_shots_order():
    rng = torch.Generator().manual_seed(0)
    zsl = predictions(torch.randn(20, 2, generator=rng).tolist(), [0, 1] * 10)
    few = predictions((torch.randn(20, 2, generator=rng) + torch.tensor([2.0, 0.0])).tolist(), [0, 1] * 10)
    found = controls.bias_only(zsl, few)
    torch.testing.assert_close(found.scores.mean(0), few.scores.mean(0))
    torch.testing.assert_close(found.calibrated().scores, zsl.calibrated().scores)


def test_a_bag_of_words_learns_from_words_alone():
    task = tasks.load("mr", 200, 0)
    right = controls.bag_of_words(task)
    assert right.shape == (100,)
    assert right.float().mean() > 0.55
    with pytest.raises(ValueError, match="free answers"):
        controls.bag_of_words(free_task())


def test_residuals_and_their_matching():
    rng = torch.Generator().manual_seed(0)
    common, own = torch.randn(1, 30, 8, generator=rng), torch.randn(9, 30, 8, generator=rng)
    noise = torch.randn(2, 9, 30, 8, generator=rng)
    a, b = (controls.demonstration_residuals(5 * common + own + part) for part in noise)
    assert a.mean(0).abs().max() < 1e-5
    similarity = controls.draw_similarities(a[:, :, None], b[:, :, None])[..., 0]
    torch.testing.assert_close(similarity[2, 5], metrics.cosine(a[2], b[5]).mean())
    assert controls.matching_pvalue(similarity) == pytest.approx(1 / 10_001)
    assert controls.own_minus_other(similarity.numpy()).min() > 0.2
    assert controls.matching_pvalue(similarity.roll(4, 1)) > 0.1


def test_pvalues_are_those_of_all_permutations():
    similarity = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0.5]])
    assert controls.matching_pvalue(similarity) == pytest.approx(1 / 6, abs=0.02)
    assert controls.matching_pvalue(np.ones((4, 4))) == 1


def test_radial_and_tangential_parts_are_orthogonal_and_sum_up():
    update, base = torch.randn(2, 6, 5, dtype=torch.float64)
    radial, tangential = controls.split_radial(update, base)
    torch.testing.assert_close(radial + tangential, update)
    torch.testing.assert_close((tangential * base).sum(-1), torch.zeros(6, dtype=torch.float64))
    drawn = controls.random_directions(update, base)
    torch.testing.assert_close(controls.split_radial(drawn, base)[0], radial)
    torch.testing.assert_close(drawn.norm(dim=-1), update.norm(dim=-1))
    assert not torch.allclose(drawn, update)


def test_centred_scores_sum_to_nothing_and_leave_the_padding():
    scores = torch.randn(2, 3, 4, 6)
    scores[0, ..., 4:] = 0
    found = controls.centred(scores)
    torch.testing.assert_close(found.sum(-1), torch.zeros(2, 3, 4), atol=1e-5, rtol=0)
    assert (found[0, ..., 4:] == 0).all()


@pytest.mark.parametrize("task", [small_task(), free_task()], ids=["labels", "free"])
def test_every_demonstration_token_has_a_type(model, task):
    types = controls.token_types(model, task)
    ids = [token for demo in icl.demo_ids(model, task) for token in demo]
    assert len(types) == len(ids) == len(icl.demo_places(model, task))
    labels = "".join(model.tokenizer.decode([i]) for i, kind in zip(ids, types, strict=True) if kind == "label")
    assert labels == "".join(f" {demo.label}" for demo in task.demos)
    content = "".join(model.tokenizer.decode([i]) for i, kind in zip(ids, types, strict=True) if kind == "content")
    assert content == "".join(demo.text for demo in task.demos)


def test_kendall_within_types_sees_no_order_between_types():
    types = ["a", "b"] * 10
    high = torch.tensor([[[0.0, 100.0] * 10]]) + torch.randn(1, 1, 20, generator=torch.Generator().manual_seed(0))
    other = torch.tensor([[[0.0, 100.0] * 10]]) + torch.randn(1, 1, 20, generator=torch.Generator().manual_seed(1))
    assert metrics.kendall_taus(high, other).item() > 0.4  # the types alone
    assert abs(controls.kendall_within(high, other, types).item()) < 0.4
    assert controls.kendall_within(high, high, types).item() == pytest.approx(1)
    order = controls.permuted_within(types, 0)
    assert [types[i] for i in order] == types
    assert order != list(range(20))


def test_the_permuted_order_is_the_same_in_every_process():
    """Python shuffles sets of words from process to process: a recorded null could not be computed again."""
    code = "from helpers import controls; print(controls.permuted_within(list('abcabcabcdefdef') * 2))"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout != ""


def test_families_with_other_names_are_told_apart():
    assert controls.learning(family("qwen2").network, "mlp")
