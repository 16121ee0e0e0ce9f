"""What attention did, as seen through transformers' interface, is what transformers itself reports; finetuning's exact
counterpart is exact. Tiny models of three families here, the real one at the end."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
import torch
from tiny import family, free_task, small_task, tiny
from transformers import AttentionInterface, AttentionMaskInterface

from helpers import gpt, icl, tasks

OUTPUTS = (".attn", ".self_attn", ".attention")  # where families compute attention


@torch.no_grad()
def reported(model, ids):
    """From a plain pass by the eager attention: its weights [layers heads seen] and outputs [layers d], last token."""
    outputs, hooks = [], []
    for name, module in model.network.named_modules():
        if name.endswith(OUTPUTS):
            hooks.append(module.register_forward_hook(lambda _, x, out: outputs.append(out[0][0, -1].float())))
    former = model.network.config._attn_implementation
    if model.network._can_set_attn_implementation():
        model.network.set_attn_implementation("eager")
    try:
        out = model.network(torch.tensor([ids]), output_attentions=True)
    finally:
        for hook in hooks:
            hook.remove()
        if model.network._can_set_attn_implementation():
            model.network.set_attn_implementation(former)
    return torch.stack([a[0, :, -1].float() for a in out.attentions]), torch.stack(outputs)


def among(scores, weights):
    """Softmax of kept scores beside transformers' weights shared out among the same tokens."""
    return scores.softmax(-1), weights / weights.sum(-1, keepdim=True)


def check_against_transformers(model, task, way, at, demos):
    inside = way(model, task, internals=True, at=at).internals
    places = icl.demo_places(model, task) if demos else []
    for i, query in enumerate(task.queries):
        ids = icl.prompt_ids(model, task, query, demos)
        own = len(icl.query_ids(model, task, query))
        if at == "first_label":
            label = icl.answer_ids(model, task, query)[0]
            ids, own = ids + label, own + len(label)
        weights, outputs = reported(model, ids)
        torch.testing.assert_close(
            inside.outputs[i], outputs, atol=1e-5 * max(1, outputs.abs().max().item()), rtol=1e-4
        )
        torch.testing.assert_close(*among(inside.query_scores[i, ..., :own], weights[..., -own:]), atol=1e-5, rtol=1e-4)
        assert not inside.query_scores[i, ..., own:].any()  # padding is zero
        both = torch.cat([inside.demo_scores[i], inside.query_scores[i, ..., :own]], -1)
        there = torch.cat([weights[..., places], weights[..., -own:]], -1)
        torch.testing.assert_close(*among(both, there), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("at", icl.POSITIONS)
@pytest.mark.parametrize(("way", "demos"), [(icl.zero_shot, False), (icl.in_context, True)])
def test_what_was_seen_is_what_transformers_reports(model, way, demos, at):
    check_against_transformers(model, small_task(), way, at, demos)


def test_heads_read_what_transformers_reports(model):
    """Softmax of queries and keys is the attention that transformers reports; with the values it makes its outputs."""
    text = "a film about a long walk home"
    read = gpt.heads(model, text)
    weights, outputs = reported(model, model.bos + model.encode(text))
    found = (read.q[:, :, -1:] @ read.k.mT / read.q.shape[-1] ** 0.5).softmax(-1)
    torch.testing.assert_close(found[:, :, 0], weights, atol=1e-5, rtol=1e-4)
    project = [m for name, m in model.network.named_modules() if name.endswith(OUTPUTS)]
    for layer, module in enumerate(project):
        out = next(getattr(module, name) for name in gpt.watching.OUTPUTS if hasattr(module, name))(
            (found @ read.v)[layer, :, 0].flatten()
        )
        torch.testing.assert_close(out, outputs[layer], atol=1e-5, rtol=1e-4)


def test_free_answers_are_looked_into_too(model):
    check_against_transformers(model, free_task(), icl.in_context, "answer", True)


def test_nothing_changes_by_looking(model):
    task = small_task()
    for way in (icl.zero_shot, icl.in_context):
        assert way(model, task).internals is None
        seen, unseen = way(model, task, internals=True), way(model, task)
        torch.testing.assert_close(seen.scores, unseen.scores, atol=0 if "xglm" not in model.name else 1e-5, rtol=0)
    check_nothing_is_left(model)


@torch.no_grad()
def test_watching_within_watching(model):
    """The outer one sees every pass, the inner one its own; on the same model and with another one inside."""
    ids, other, seen = torch.tensor([model.encode("abcab")]), tiny("llama", torch.float32), {}
    before = model.network(ids).logits

    def keep(name):
        return lambda layer, attended: seen.setdefault(name, []).append((layer, attended))

    with gpt.watch(model, [4], keep("outer")):
        with gpt.watch(model, [2, 4], keep("inner")), gpt.watch(other, [0], keep("other")):
            model.network(ids)
            other.network(ids)
        assert gpt.heads(model, "abcab").q.shape[0] == 3
        model.network(ids)
    assert {name: [layer for layer, _ in calls] for name, calls in seen.items()} == {
        "outer": [0, 1, 2] * 3,
        "inner": [0, 1, 2],
        "other": [0, 1, 2],
    }
    for (_, outer), (_, inner) in zip(seen["outer"][:3], seen["inner"], strict=True):
        torch.testing.assert_close(outer.scores, inner.scores[:, 1:], atol=1e-6, rtol=1e-5)
    check_nothing_is_left(model)
    torch.testing.assert_close(model.network(ids).logits, before, atol=0, rtol=0)


def check_nothing_is_left(model):
    assert model.network.config._attn_implementation in ("sdpa", "eager")
    for module in model.network.modules():
        assert "forward" not in vars(module)
        assert not {**module._forward_hooks, **module._forward_pre_hooks}
    for interface in (AttentionInterface(), AttentionMaskInterface()):
        assert not [name for name in interface if "watch" in name]


def stop_within(model, depth):
    def stop(layer, attended):
        raise ArithmeticError("anything")

    with ExitStack() as watches:
        for keep in (lambda *_: None, stop)[-depth:]:
            watches.enter_context(gpt.watch(model, [1], keep))
        model.network(torch.tensor([model.encode("abcab")]))


@pytest.mark.parametrize("depth", [1, 2])
@torch.no_grad()
def test_watching_ends_whatever_happens(model, depth):
    with pytest.raises(ArithmeticError):
        stop_within(model, depth)
    check_nothing_is_left(model)


def test_queries_of_stretched_rotary_positions_are_refused():
    """YaRN lengthens queries while it turns them: turned back they are too long, the same wherever they stand."""
    stretched = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
    model = family("llama", rope_parameters=stretched)
    assert icl.in_context(model, small_task()).scores.isfinite().all()
    with pytest.raises(ValueError, match=r"family 'llama': .* can't be turned back .*\n.*\.$"):
        icl.in_context(model, small_task(), internals=True)


def test_eager_attention_is_watched_as_it_is():
    """Its softmax is not replaced by another function's: not a bit of the logits changes."""
    model = family("gemma2", sliding_window=200)
    ids = torch.tensor([model.encode("abcab" * 9)])
    with gpt.watch(model, [1], lambda *_: None):
        watched = model.network(ids).logits
    assert torch.equal(watched, model.network(ids).logits)


def test_many_rows_see_the_same_as_one(model, monkeypatch):
    whole = icl._evaluate(model, small_task(), "answer").internals
    monkeypatch.setattr(gpt.scoring, "PACKED_TOKENS", 12)
    parts = icl._evaluate(model, small_task(), "answer").internals
    for name, tensor in vars(whole).items():
        if tensor is not None:
            torch.testing.assert_close(getattr(parts, name), tensor, atol=1e-5, rtol=1e-4)


def test_queries_are_those_before_rotary_positions():
    """Turned back they are what the query projection made; the same token has one query wherever it stands."""
    model, task = tiny("llama", torch.float32), small_task()
    layer, made = model.network.model.layers[0].self_attn, []
    hook = layer.q_proj.register_forward_hook(lambda _, x, out: made.append(out[0]))
    try:
        ids, kept = torch.tensor([model.encode("abcab")]), {}
        with gpt.watch(model, range(5), lambda layer, seen: kept.setdefault(layer, seen.queries)):
            model.network(ids)
    finally:
        hook.remove()
    torch.testing.assert_close(kept[0].flatten(1), made[-1], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(kept[0][:2], kept[0][3:], atol=1e-6, rtol=1e-5)
    queries = icl.finetuned(model, task, 0.01, internals=True).internals.training_queries
    tokens = torch.tensor([token for demo in icl.demo_ids(model, task) for token in demo])
    same = (tokens == tokens[0]).nonzero()[:, 0]
    assert len(same) > 1
    torch.testing.assert_close(queries[same, 0], queries[same[:1], 0].expand(len(same), -1, -1), atol=1e-5, rtol=1e-4)


def test_training_queries_are_seen_at_the_weights_that_meet_the_example(model):
    """The first example meets the untouched model, the last one a trained model."""
    task = small_task()
    here = icl.finetuned(model, task, 0.05, internals=True).internals
    alone = icl.finetuned(model, replace(task, demos=task.demos[:1]), 0.05, internals=True).internals
    untouched = icl.finetuned(model, task, 1e-30, internals=True).internals
    first = len(icl.demo_ids(model, task)[0])
    torch.testing.assert_close(here.training_queries[:first], alone.training_queries)
    torch.testing.assert_close(here.training_queries[:first], untouched.training_queries[:first])
    assert not torch.allclose(here.training_queries[first:], untouched.training_queries[first:], atol=1e-4)
    assert here.training_queries.shape == (len(icl.demo_places(model, task)), *model.attention_shape)
    by_hand = (here.queries[1, 2] * here.training_queries[4, 2]).sum()
    torch.testing.assert_close(here.training_attention()[1, 2, 4], by_hand)


def test_without_bos(model):
    task = small_task()
    with_bos, without = (icl.zero_shot(model, task, internals=True, bos=bos) for bos in (True, False))
    bare = replace(model, starts=False)
    assert bare.bos == []
    assert icl.prompt_ids(bare, task, task.queries[0]) == icl.prompt_ids(model, task, task.queries[0])[1:]
    _, outputs = reported(model, icl.prompt_ids(bare, task, task.queries[0], demos=False))
    torch.testing.assert_close(without.internals.outputs[0], outputs, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(with_bos.internals.outputs, without.internals.outputs, atol=1e-3)


@pytest.mark.parametrize(("family", "dtype", "close"), [("llama", torch.float64, 1e-14), ("xglm", torch.float32, 1e-6)])
def test_the_value_update_is_a_sum_of_outer_products(family, dtype, close):
    """(eq. 4.7), (eq. 4.8): to rounding, W_after − W_before, and what a finetuned head adds, its pattern fixed."""
    model, task = tiny(family, dtype), small_task()
    update = icl.value_update(model, task, 0.05)
    summed = torch.einsum("tlm,tle->lme", update.errors, update.inputs)
    torch.testing.assert_close(summed, update.change, atol=close, rtol=1e-9)
    assert update.own.sum() == len(icl.demo_places(model, task))
    heads, values = update.attended.shape[2], update.errors.shape[2] // model.attention_shape[2]
    errors = update.errors.unflatten(2, (values, -1)).repeat_interleave(heads // values, 2)  # per query head
    added = torch.einsum("nlht,tlhd->nlhd", update.attention(), errors)
    change = update.change.unflatten(1, (values, -1)).repeat_interleave(heads // values, 1)
    torch.testing.assert_close(
        added, torch.einsum("lhde,nlhe->nlhd", change, update.attended), atol=100 * close, rtol=1e-9
    )


def test_attended_inputs_pass_through_the_value_projection_to_the_heads_output():
    """W_O of the heads' Σ_j a_j W_V x_j is what attention put out."""
    model, task = tiny("llama", torch.float32), small_task()
    update = icl.value_update(model, task, 1e-30)
    outputs = icl.zero_shot(model, task, internals=True).internals.outputs
    for place, layer in enumerate(model.network.model.layers):
        w_v = layer.self_attn.v_proj.weight.unflatten(0, (2, -1)).repeat_interleave(2, 0)
        heads = torch.einsum("hde,nhe->nhd", w_v, update.attended[:, place]).flatten(1)
        torch.testing.assert_close(layer.self_attn.o_proj(heads), outputs[:, place], atol=1e-5, rtol=1e-4)


def test_a_model_with_keys_and_values_in_one_weight_is_told_so():
    with pytest.raises(ValueError, match="no value projection"):
        icl.value_update(tiny("gpt2", torch.float32), small_task(), 0.1)


def test_nothing_to_train_on_and_half_precision_are_refused(model):
    bare = replace(small_task(), demos=())
    with pytest.raises(ValueError, match="no demonstrations"):
        icl.finetuned(model, bare, 0.1, internals=True)
    with pytest.raises(ValueError, match="demonstrations"):
        icl.value_update(model, bare, 0.1)
    with pytest.raises(ValueError, match="float32"):
        icl.value_update(tiny("llama", torch.bfloat16), small_task(), 0.1)


def test_only_finetuning_has_training_attention(model):
    with pytest.raises(ValueError, match="has training queries"):
        icl.zero_shot(model, small_task(), internals=True).internals.training_attention()


def test_a_place_that_does_not_exist(model):
    with pytest.raises(ValueError, match="'answer' or 'first_label'"):
        icl.zero_shot(model, small_task(), internals=True, at="last")


def test_activations_that_are_not_numbers_are_said_with_their_layer():
    model = tiny("llama", torch.float32)
    model.network.model.layers[1].self_attn.q_proj.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="layer 1"):
        icl.zero_shot(model, small_task(), internals=True)
    assert model.network.config._attn_implementation == "sdpa"


def test_a_model_whose_heads_cannot_be_looked_into():
    model = tiny("llama", torch.float32)
    model.network.model.layers = model.network.model.layers[:2]  # a layer without attention, as in hybrid models
    with pytest.raises(ValueError, match="can't be looked into"):
        icl.zero_shot(model, small_task(), internals=True)


@pytest.mark.real
@pytest.mark.parametrize("at", icl.POSITIONS)
def test_the_real_model_too(real, at):
    task = tasks.load("mr", shots=8, queries=3)
    check_against_transformers(real, task, icl.in_context, at, True)
    check_against_transformers(real, task, icl.zero_shot, at, False)


@pytest.mark.real
def test_the_real_value_update_is_exact_on_a_thousand_tokens(real):
    """Within a few units of float32's rounding at the size of the weights it was written into, 32 times."""
    task = tasks.load("mr", shots=32, queries=2)
    update = icl.value_update(real, task, 0.01)
    assert len(update.errors) > 1000
    summed = torch.einsum("tlm,tle->lme", update.errors, update.inputs)
    values = [m.weight for name, m in real.network.named_modules() if name.endswith("v_proj")]
    for made, change, weight in zip(summed, update.change, values, strict=True):
        unit = torch.finfo(torch.float32).eps * weight.abs().max()
        assert (made - change).abs().max() < 8 * unit
        assert (made - change).norm() < 0.02 * change.norm()
