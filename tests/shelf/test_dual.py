"""Every equation against loops, autograd or torch's own SGD; batches, gradients, no examples at all, bad rates."""

import re
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from helpers import attention, dual


def draw(*batch, n=5, d=3, m=2, dtype=torch.float64, seed=0):
    """First weights, inputs, targets, and an input to answer."""
    rng = torch.Generator().manual_seed(seed)
    shapes = (m, d), (n, d), (n, m), (d,)
    return [torch.randn(*batch, *shape, generator=rng, dtype=torch.float64).to(dtype) for shape in shapes]


def outer(errors, inputs):
    """Σ e_i ⊗ x_i, entry by entry."""
    dw = torch.zeros(errors.shape[1], inputs.shape[1], dtype=errors.dtype)
    for e, x in zip(errors, inputs, strict=True):
        for row in range(len(e)):
            for column in range(len(x)):
                dw[row, column] += e[row] * x[column]
    return dw


def sgd(w0, inputs, targets, lr, batches, momentum=0.0):
    """The layer that torch's optimiser makes of ½ Σ ‖W x_i − y_i‖² on these rows, step after step."""
    w = w0.clone().requires_grad_()
    optimizer = torch.optim.SGD([w], lr, momentum=momentum)
    for rows in batches:
        optimizer.zero_grad()
        (0.5 * (inputs[rows] @ w.T - targets[rows]).square().sum()).backward()
        optimizer.step()
    return w.detach()


W_V, W_K = draw(m=2)[0], draw(m=3, seed=1)[0]
EVERY = {
    "weight_update": lambda w, inputs, targets, x: dual.weight_update(targets, inputs),
    "gradient_step": lambda w, inputs, targets, x: dual.gradient_step(w, inputs, targets, 0.1),
    "dual_forward": lambda w, inputs, targets, x: dual.dual_forward(w, targets, inputs, x),
    "unrolled_training": lambda w, inputs, targets, x: dual.unrolled_training(w, inputs, targets, 0.05, 3),
    "contributions": lambda w, inputs, targets, x: dual.contributions(targets, inputs, x),
    "trained": lambda w, inputs, targets, x: dual.trained(w, inputs, targets, 0.05, 3, 0.5, 2),
    "largest_rate": lambda w, inputs, targets, x: dual.largest_rate(inputs),
    "meta_gradient": lambda w, inputs, targets, x: dual.meta_gradient(W_V.to(x), W_K.to(x), inputs),
    "icl_decomposition": lambda w, inputs, targets, x: dual.icl_decomposition(
        W_V.to(x), W_K.to(x), inputs, inputs[..., :2, :], x
    ),
    "softmax_decomposition": lambda w, inputs, targets, x: dual.softmax_decomposition(x, inputs, targets, 2),
    "delta_rule": lambda w, inputs, targets, x: dual.delta_rule(inputs.flip(-1), inputs, targets, 0.1),
    "rank_one_patch": lambda w, inputs, targets, x: dual.rank_one_patch(w, x, w[..., 0, :]),
}


def results(name, arguments):
    """What a function returns, always as a tuple."""
    found = EVERY[name](*arguments)
    return found if isinstance(found, tuple) else (found,)


@pytest.mark.parametrize("name", EVERY)
def test_each_of_a_batch_is_its_own(name):
    arguments = draw(2, 4)
    for whole, alone in zip(results(name, arguments), results(name, [a[1, 2] for a in arguments]), strict=True):
        assert whole.shape == (2, 4, *alone.shape)
        assert_close(whole[1, 2], alone)


@pytest.mark.parametrize("name", EVERY)
def test_gradients(name):
    assert torch.autograd.gradcheck(lambda *a: results(name, a), [a.requires_grad_() for a in draw(2)])


def test_gradients_reach_the_projections():
    _, demos, _, query = draw()
    projections = [W_V.clone().requires_grad_(), W_K.clone().requires_grad_()]
    assert torch.autograd.gradcheck(
        lambda w_v, w_k: dual.icl_decomposition(w_v, w_k, demos, demos[:2], query), projections
    )


@pytest.mark.parametrize("name", EVERY)
def test_single_precision_stays_near(name):
    arguments = draw(n=50)
    for exact, near in zip(results(name, arguments), results(name, [a.float() for a in arguments]), strict=True):
        assert near.dtype == torch.float32
        assert_close(near.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", EVERY)
def test_arguments_stay_as_they_were(name):
    arguments = draw()
    results(name, arguments)
    assert all(torch.equal(a, b) for a, b in zip(arguments, draw(), strict=True))


@pytest.mark.parametrize("batch", [(), (2,)])
def test_without_examples_nothing_is_learned(batch):
    w0, inputs, targets, x = draw(*batch, n=0)
    at_first = torch.einsum("...md,...d->...m", w0, x)
    assert_close(dual.weight_update(targets, inputs), torch.zeros_like(w0))
    assert_close(dual.gradient_step(w0, inputs, targets, 0.1), (targets, w0))
    assert_close(dual.trained(w0, inputs, targets, 0.1, 3, 0.5, 2), (targets, w0))
    assert_close(dual.unrolled_training(w0, inputs, targets, 0.1, 3), (targets, inputs))
    assert_close(dual.dual_forward(w0, targets, inputs, x), at_first)
    assert dual.contributions(targets, inputs, x).shape == (*batch, 0, 2)
    assert dual.largest_rate(inputs).isposinf().all()
    assert_close(dual.delta_rule(inputs, inputs, targets, 0.1), targets)
    _, context, _, query = draw(*batch)
    for demos, text, empty in ((inputs, context, 1), (context, inputs, 0)):
        parts = dual.icl_decomposition(W_V, W_K, demos, text, query)
        assert not parts[empty].any()
        assert parts[1 - empty].all()


def test_an_update_is_a_sum_of_outer_products():
    """(eq. 2.1): written out."""
    _, inputs, errors, _ = draw()
    assert_close(dual.weight_update(errors, inputs), outer(errors, inputs))


def test_a_gradient_step_is_autograds():
    """(eq. 2.2): on the sum, not the mean, ½ ‖W x_i − y_i‖²; each error is −lr times the loss's gradient at W x_i."""
    w, inputs, targets, _ = draw()
    errors, new = dual.gradient_step(w, inputs, targets, 0.3)
    w.requires_grad_()
    answers = inputs @ w.T
    loss = sum(0.5 * (answer - y).square().sum() for answer, y in zip(answers, targets, strict=True))
    gradient, at_answers = torch.autograd.grad(loss, (w, answers))
    assert_close(new, w.detach() - 0.3 * gradient)
    assert_close(errors, -0.3 * at_answers)


def test_a_rate_of_zero_stays_where_it_is():
    w, inputs, targets, _ = draw()
    errors, new = dual.gradient_step(w, inputs, targets, 0)
    assert not errors.any()
    assert torch.equal(new, w)


def test_the_dual_form_is_the_trained_layer_and_a_sum_over_its_examples():
    """(eq. 2.3): against both."""
    w0, inputs, errors, x = draw()
    expected = w0 @ x
    for e, x_i in zip(errors, inputs, strict=True):
        expected = expected + e * sum(a * b for a, b in zip(x_i, x, strict=True))
    assert_close(dual.dual_forward(w0, errors, inputs, x), expected)
    assert_close(expected, (w0 + outer(errors, inputs)) @ x)


def test_the_dual_form_is_linear_attention_with_the_query_as_last_token():
    w0, inputs, errors, x = draw()
    q = k = torch.cat([inputs, x[None]])
    v = torch.cat([errors, torch.zeros(1, 2, dtype=torch.float64)])  # the query brings no value
    assert_close(dual.dual_forward(w0, errors, inputs, x), w0 @ x + attention.linear_attention(q, k, v)[-1])


def test_contributions_by_the_example():
    """(eq. 2.5): written out."""
    w0, inputs, errors, x = draw()
    shares = dual.contributions(errors, inputs, x)
    for i in range(5):
        assert_close(shares[i], outer(errors[i : i + 1], inputs[i : i + 1]) @ x)
    assert_close(w0 @ x + shares.sum(0), dual.dual_forward(w0, errors, inputs, x))


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_unrolled_training_is_torchs_sgd(steps):
    """(eq. 2.4): against another's."""
    w0, inputs, targets, x = draw()
    errors, seen = dual.unrolled_training(w0, inputs, targets, 0.05, steps)
    w = sgd(w0, inputs, targets, 0.05, [range(5)] * steps)
    assert errors.shape == (steps * 5, 2)
    assert_close(seen, inputs.repeat(steps, 1))
    assert_close(w0 + outer(errors, seen), w)
    assert_close(dual.dual_forward(w0, errors, seen, x), w @ x)


def test_unrolled_errors_come_step_after_step():
    w, inputs, targets, _ = draw()
    errors, _ = dual.unrolled_training(w, inputs, targets, 0.05, 3)
    for step in errors.split(5):
        expected, w = dual.gradient_step(w, inputs, targets, 0.05)
        assert_close(step, expected)


def test_trained_keeps_one_row_an_example_the_sum_over_steps():
    w0, inputs, targets, _ = draw()
    unrolled, _ = dual.unrolled_training(w0, inputs, targets, 0.05, 7)
    errors, w = dual.trained(w0, inputs, targets, 0.05, 7)
    assert_close(errors, unrolled.unflatten(0, (7, 5)).sum(0))
    assert_close(w, w0 + outer(errors, inputs))


def drawn_examples(batch, steps, seed):
    """The rows of every step: those whose errors a further step changes."""
    w0, inputs, targets, _ = draw()
    sums = [dual.trained(w0, inputs, targets, 0.05, step, batch=batch, seed=seed)[0] for step in range(steps + 1)]
    return [(b - a).abs().sum(1).nonzero()[:, 0] for a, b in pairwise(sums)]


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("batch", [None, 1, 2, 4, 5, 9])
@pytest.mark.parametrize("steps", [0, 1, 6])
def test_trained_is_torchs_sgd(momentum, batch, steps):
    """(eq. 2.6): against another's."""
    w0, inputs, targets, x = draw()
    rows = drawn_examples(batch, steps, seed=3)
    assert all(len(row) == min(batch or 5, 5) for row in rows)
    errors, w = dual.trained(w0, inputs, targets, 0.05, steps, momentum, batch, seed=3)
    assert_close(w, sgd(w0, inputs, targets, 0.05, rows, momentum))
    assert_close(dual.dual_forward(w0, errors, inputs, x), w @ x)


def test_the_seed_chooses_the_examples_and_leaves_torchs_alone():
    before = torch.get_rng_state()
    same, again, other = (torch.cat(drawn_examples(2, 8, seed)).tolist() for seed in (1, 1, 2))
    assert same == again != other
    assert set(same) == set(range(5))
    assert torch.equal(torch.get_rng_state(), before)


def test_with_fewer_examples_than_inputs_the_rest_stays_untouched():
    """Along what no example sees the update is 0, and the examples are fitted all the same."""
    w0, inputs, targets, _ = draw(n=2, d=6)
    unseen = torch.linalg.svd(inputs).Vh[2:]
    _, w = dual.trained(w0, inputs, targets, 0.9 * dual.largest_rate(inputs).item(), 3000)
    assert_close(w @ unseen.T, w0 @ unseen.T)
    assert_close(w, w0 + (targets - inputs @ w0.T).T @ torch.linalg.pinv(inputs).T)


def test_examples_that_are_all_zero_teach_nothing_at_any_rate():
    w0, inputs, targets, x = draw()
    assert dual.largest_rate(0 * inputs) == float("inf")
    errors, w = dual.trained(w0, 0 * inputs, targets, 1e6, 50)
    assert_close(errors, 50e6 * targets)
    assert torch.equal(w, w0)
    assert torch.equal(dual.dual_forward(w0, errors, 0 * inputs, x), w0 @ x)


def test_the_largest_rate_is_where_steps_begin_to_overshoot():
    w0, inputs, targets, _ = draw()
    limit = dual.largest_rate(inputs).item()
    assert limit == pytest.approx(2 / torch.linalg.eigvalsh(inputs.T @ inputs)[-1].item())
    along = torch.linalg.svd(inputs).Vh[0]  # the direction whose error every step multiplies by 1 − lr λ_max
    best = torch.linalg.lstsq(inputs, targets).solution.T
    for factor in (0.9, 1.1):
        _, w = dual.gradient_step(w0, inputs, targets, factor * limit)
        assert_close((w - best) @ along, (1 - 2 * factor) * (w0 - best) @ along)


def test_a_diverging_layer_still_is_its_dual_form_until_it_is_no_numbers_any_more():
    w0, inputs, targets, x = draw()
    limit = dual.largest_rate(inputs).item()
    errors, w = dual.trained(w0, inputs, targets, 1.5 * limit, 20)
    assert w.norm() > 1e5 * w0.norm()
    assert_close(dual.dual_forward(w0, errors, inputs, x) / w.norm(), w @ x / w.norm())
    said = rf"trained: after (\d+) steps the weights .* lr = {1.5 * limit:.3g} is too high: .* from {limit:.3g} on"
    with pytest.raises(ValueError, match=said) as caught:
        dual.trained(w0, inputs, targets, 1.5 * limit, 5000)
    assert len(str(caught.value).splitlines()) == 1
    last = int(re.search(said, str(caught.value))[1]) - 1
    _, w = dual.trained(w0, inputs, targets, 1.5 * limit, last)
    assert w.isfinite().all()
    assert w.abs().max() > 1e300
    with pytest.raises(ValueError, match=f"after {last + 1} steps"):
        dual.trained(w0, inputs, targets, 1.5 * limit, last + 1)


def test_a_rate_just_below_the_largest_never_diverges():
    w0, inputs, targets, _ = draw()
    _, w = dual.trained(w0, inputs, targets, 0.99 * dual.largest_rate(inputs).item(), 2000)
    assert_close(w, torch.linalg.lstsq(inputs, targets).solution.T)


def test_minibatches_with_momentum_may_diverge_sooner_and_the_sentence_says_no_more_than_that():
    w0, inputs, targets, _ = draw(n=6, dtype=torch.float32)
    limit = dual.largest_rate(inputs).item()
    with pytest.raises(ValueError, match=rf"overshoot from {limit:.3g} on .*, minibatches with momentum sooner"):
        dual.trained(w0, inputs, targets, 0.9 * limit, 3000, momentum=0.9, batch=1)
    assert dual.trained(w0, inputs, targets, 0.9 * limit, 3000, batch=1)[1].isfinite().all()


def test_a_meta_gradient_has_values_for_errors_and_keys_for_inputs():
    """(eq. 3.2): written out."""
    _, demos, _, _ = draw()
    expected = sum(torch.outer(W_V @ token, W_K @ token) for token in demos)
    assert_close(dual.meta_gradient(W_V, W_K, demos), expected)


def test_the_two_parts_are_linear_attention_over_demonstrations_and_context():
    """(eq. 3.3): against (eq. 1.2)."""
    demos, context, query = draw()[1], draw(seed=1)[1][:4], draw(seed=2)[3]
    parts = dual.icl_decomposition(W_V, W_K, demos, context, query)
    for part, tokens in zip(parts, (context, demos), strict=True):
        assert_close(part, sum((W_V @ token) * ((W_K @ token) @ query) for token in tokens))
    tokens = torch.cat([demos, context])
    attended = attention.linear_attention(query.expand(9, 3), tokens @ W_K.T, tokens @ W_V.T)[-1]
    assert_close(parts[0] + parts[1], attended)


@pytest.mark.parametrize("demos", [1, 2, 4])
def test_softmax_is_a_weighted_mean_of_two_attentions(demos):
    """(eq. 3.4): the parts written out with exp; together (eq. 1.1)."""
    _, k, v, q = draw()
    alpha, zero_shot, from_demos = dual.softmax_decomposition(q, k, v, demos)
    weights = (k @ q / 3**0.5).exp()
    for part, here in ((from_demos, slice(0, demos)), (zero_shot, slice(demos, None))):
        assert_close(part, weights[here] @ v[here] / weights[here].sum())
    assert_close(alpha, weights[:demos].sum() / weights.sum())
    attended = attention.softmax_attention(q.expand(5, 3), k, v)[-1]
    assert_close((1 - alpha) * zero_shot + alpha * from_demos, attended)


@pytest.mark.parametrize("size", [1e3, -1e3])
def test_a_share_of_nearly_all_or_nothing_is_no_nan(size):
    _, k, v, q = draw()
    k[:2] = size * q
    alpha, zero_shot, from_demos = dual.softmax_decomposition(q, k, v, 2)
    assert alpha == (size > 0)
    assert zero_shot.isfinite().all()
    assert from_demos.isfinite().all()


@pytest.mark.parametrize("demos", [5, 6])
def test_the_querys_own_text_needs_a_key(demos):
    _, k, v, q = draw(2)
    with pytest.raises(ValueError, match=rf"^softmax_decomposition: demos is {demos} of 5 keys; .*\.$"):
        dual.softmax_decomposition(q, k, v, demos)


def test_the_delta_rule_is_sgd_token_by_token():
    """(eq. 3.5): against torch's SGD, one token a batch; the query reads the state as it is then."""
    w0, k, v, q = draw()
    outputs = dual.delta_rule(q.expand(5, 3), k, v, 0.1)
    for t in range(5):
        assert_close(outputs[t], sgd(torch.zeros_like(w0), k, v, 0.1, [[i] for i in range(t + 1)]) @ q)


def test_at_rate_one_a_key_of_length_one_gets_its_value_and_a_second_writing_changes_nothing():
    _, k, v, _ = draw()
    k = torch.nn.functional.normalize(k, dim=-1)
    assert_close(dual.delta_rule(k, k, v, 1.0), v)
    twice = dual.delta_rule(k.repeat_interleave(2, 0), k.repeat_interleave(2, 0), v.repeat_interleave(2, 0), 1)
    assert_close(twice[1::2], v)
    assert_close(twice[-1], dual.delta_rule(k, k, v, 1)[-1])


def test_with_keys_at_right_angles_the_delta_rule_is_linear_attention():
    """At rate 1: then no key is answered before it is written."""
    _, _, v, _ = draw(n=3, seed=1)
    k = torch.eye(3, dtype=torch.float64)
    queries = draw(n=3)[1]
    assert_close(dual.delta_rule(queries, k, v, 1.0), attention.linear_attention(queries, k, v))


@pytest.mark.parametrize(("m", "d"), [(2, 3), (5, 2), (1, 1)])
def test_a_patch_is_exact_of_rank_one_and_of_least_norm(m, d):
    """(eq. 3.8): against the pseudo-inverse."""
    w, _, _, before = draw(m=m, d=d)
    after = draw(m=m, d=d, seed=1)[3]
    dw = dual.rank_one_patch(w, before, after)
    assert_close((w + dw) @ before, w @ after)
    assert torch.linalg.matrix_rank(dw) == 1
    conditions = torch.kron(torch.eye(m, dtype=torch.float64), before[None])  # on the entries of ΔW, row after row
    shortest = torch.linalg.lstsq(conditions, w @ (after - before), driver="gelsd").solution
    assert_close(dw, shortest.unflatten(0, (m, d)))


def test_nothing_moved_is_nothing_to_patch():
    w, _, _, before = draw()
    assert not dual.rank_one_patch(w, before, before).any()


@pytest.mark.parametrize("length", [0, 1e-200])
def test_no_patch_moves_what_is_zero(length):
    w, _, _, before = draw(2)
    before[1] *= length
    with pytest.raises(ValueError, match=r"^rank_one_patch: before is 0, .*\.$"):
        dual.rank_one_patch(w, before, before + 1)


W0, X, Y, x = draw()
NUMBERS = ("gradient_step", (W0, X, Y)), ("unrolled_training", (W0, X, Y)), ("trained", (W0, X, Y))


@pytest.mark.parametrize(
    ("name", "arguments", "error", "said"),
    [
        (
            "weight_update",
            (Y[:3], X),
            ValueError,
            r"inputs has shape \[5, 3\], which doesn't fit errors of .* \[3, 2\]",
        ),
        ("weight_update", (Y[0], X), ValueError, r"errors has shape \[2\]; it must be \[\*batch n m\]"),
        ("weight_update", (Y, X.long()), TypeError, r"inputs holds torch.int64; .* inputs.float\(\)"),
        ("weight_update", (Y, X.tolist()), TypeError, "inputs must be a torch tensor, not list"),
        ("weight_update", (Y.float(), X), TypeError, "inputs is torch.float64 but errors is torch.float32"),
        (
            "gradient_step",
            (W0.T, X, Y, 0.1),
            ValueError,
            r"inputs has shape \[5, 3\], which doesn't fit w of .* \[3, 2\]",
        ),
        ("gradient_step", (W0, X, Y[:, 0], 0.1), ValueError, r"targets has shape \[5\]; it must be \[\*batch n m\]"),
        ("gradient_step", (W0, X[None], Y, 0.1), ValueError, r"inputs has shape \[1, 5, 3\], which doesn't fit w of"),
        ("dual_forward", (W0, X, Y, x), ValueError, r"errors has shape \[5, 3\], which doesn't fit w0 of .* \[2, 3\]"),
        ("dual_forward", (W0, Y, X, X), ValueError, r"x has shape \[5, 3\], which doesn't fit w0 of .* \[2, 3\]"),
        (
            "unrolled_training",
            (W0, X[:, :2], Y, 0.1, 2),
            ValueError,
            r"inputs has shape \[5, 2\], which doesn't fit w0",
        ),
        ("contributions", (Y, X, x[:2]), ValueError, r"x has shape \[2\], which doesn't fit inputs of .* \[5, 3\]"),
        ("trained", (W0, X, Y[:4], 0.1, 2), ValueError, r"targets has shape \[4, 2\], which doesn't fit inputs of"),
        ("largest_rate", (x,), ValueError, r"inputs has shape \[3\]; it must be \[\*batch n d\]"),
        (
            "meta_gradient",
            (W_V, W_K.T[:2], X[:, :2]),
            ValueError,
            r"demos has shape \[5, 2\], which doesn't fit w_v of",
        ),
        ("icl_decomposition", (W_V, W_K, X, X, Y[0]), ValueError, r"query has shape \[2\], which doesn't fit w_k of"),
        ("icl_decomposition", (W_V, W_K, X, Y, x), ValueError, r"context has shape \[5, 2\], which doesn't fit w_v of"),
        ("softmax_decomposition", (x, X, Y, 0), ValueError, "demos = 0 must be a whole number, at least 1"),
        ("softmax_decomposition", (x, X, Y[:4], 2), ValueError, r"v has shape \[4, 2\], which doesn't fit k of"),
        ("delta_rule", (X, X, Y[:4], 0.1), ValueError, r"v has shape \[4, 2\], which doesn't fit q of"),
        ("delta_rule", (X, X, Y, -0.1), ValueError, "lr = -0.1 must be"),
        ("rank_one_patch", (W0, x, Y[0]), ValueError, r"after has shape \[2\], which doesn't fit w of .* \[2, 3\]"),
        ("rank_one_patch", (W0, Y[0], Y[0]), ValueError, r"before has shape \[2\], which doesn't fit w of .* \[2, 3\]"),
        *[
            (name, (*a, -0.1, 1)[: 4 + (name != "gradient_step")], ValueError, "lr = -0.1 must be")
            for name, a in NUMBERS
        ],
        *[(name, (*a, "1", 1)[: 4 + (name != "gradient_step")], ValueError, "lr = '1' must be") for name, a in NUMBERS],
        *[
            (name, (*a, float("nan"), 1)[: 4 + (name != "gradient_step")], ValueError, "lr = nan")
            for name, a in NUMBERS
        ],
        ("unrolled_training", (W0, X, Y, 0.1, 0), ValueError, "steps = 0 must be a whole number, at least 1"),
        ("trained", (W0, X, Y, 0.1, -1), ValueError, "steps = -1 must be a whole number, at least 0"),
        ("trained", (W0, X, Y, 0.1, 2.0), ValueError, "steps = 2.0 must be a whole number"),
        ("trained", (W0, X, Y, 0.1, 2, 1.0), ValueError, r"momentum = 1.0 must be in \[0, 1\): at 1 nothing is ever"),
        ("trained", (W0, X, Y, 0.1, 2, -0.5), ValueError, r"momentum = -0.5 must be in \[0, 1\)"),
        ("trained", (W0, X, Y, 0.1, 2, 0.0, 0), ValueError, "batch = 0 must be a whole number, at least 1"),
        ("trained", (W0, X, Y, 0.1, 2, 0.0, 2.5), ValueError, "batch = 2.5 must be a whole number, at least 1"),
    ],
)
def test_what_does_not_fit_is_one_sentence(name, arguments, error, said):
    with pytest.raises(error, match=f"^{name}: {said}") as caught:
        getattr(dual, name)(*arguments)
    assert len(str(caught.value).splitlines()) == 1
