"""The exercises of notebook 03: meta-gradients, a layer that is a gradient step and its rate, a prompt as a patch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers import dual, regression
from helpers.check.claims import Claim, Mistakes, close, equals, holds, is_dict, is_number, is_pair, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_02 import draw


def meta_mistakes(values: Tensor, keys: Tensor) -> Mistakes:
    total = values.T @ keys
    return {
        "Divided by the number of tokens: a sum is asked for, not a mean.": lambda: total / len(keys),
        "Divided by √d: relaxed attention has no scale.": lambda: total / keys.shape[1] ** 0.5,
        "The sign: values are added as they are, no loss turns them round.": lambda: -total,
        "Summed too early: multiply each value with its own key, then add.": lambda: torch.outer(
            values.sum(0), keys.sum(0)
        ),
        "Only the last token is left: add the outer products up.": lambda: torch.outer(values[-1], keys[-1]),
        "A softmax is in there: keys enter as they are.": lambda: values.T @ keys.softmax(-1),
    }


@exercise(
    "3.1",
    module=dual,
    may_use=("weight_update",),
    task="Return the update ΔW_ICL [m d] that demonstrations write: values times keys, added up over the tokens.",
    equation="ΔW_ICL = Σ_i (W_V x'_i) ⊗ (W_K x'_i)",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Rows: all values are `demos @ w_v.T` [n m], all keys `demos @ w_k.T` [n d].",
        "Values stand where (eq. 2.1) has errors, keys where it has inputs: `values.T @ keys`.",
    ),
    passed="What demonstrations write into attention has the form of a gradient step's update, with values as errors.",
)
def meta_gradient(attempt: Attempt) -> Iterator[Claim]:
    for seed, (n, e, d, m) in enumerate(((5, 4, 3, 2), (3, 5, 2, 4), (1, 4, 2, 3))):
        w_v, w_k, demos = draw((m, e), (d, e), (n, e), seed=seed)
        out = attempt(w_v, w_k, demos)
        shapes = {
            (d, m): "Values and keys have changed places, or it is transposed: a row for each entry of a value.",
            (m, e): "The keys are missing: W_K x'_i, not x'_i itself, stands in the place of inputs.",
            (e, d): "The values are missing: W_V x'_i, not x'_i itself, stands in the place of errors.",
            (e, e): "The projections are missing: values are W_V x'_i, keys W_K x'_i.",
            (n, m, d): "The outer products still have to be added up, over the tokens.",
        }
        yield is_tensor(out, m, d, shapes=shapes)
        values, keys = demos @ w_v.T, demos @ w_k.T
        yield equals(out, values.T @ keys, f"ΔW_ICL of {n} random tokens", meta_mistakes(values, keys))


def relaxed_mistakes(w_v: Tensor, w_k: Tensor, tokens: Tensor, query: Tensor) -> Mistakes:
    """Mistakes in reading tokens with a query, whichever tokens they are."""
    values, scores = (tokens @ w_v.T).T, tokens @ w_k.T @ query
    scale = len(query) ** 0.5
    return {
        "A softmax is still in there: relaxed attention has none.": lambda: values @ scores.softmax(0),
        "This is softmax attention: drop the softmax and the √d.": lambda: values @ (scores / scale).softmax(0),
        "Divided by √d: relaxed attention has no scale.": lambda: values @ scores / scale,
        "Divided by the number of tokens: a sum is asked for, not a mean.": lambda: values @ scores / len(tokens),
    }


@exercise(
    "3.2",
    module=dual,
    may_use=("meta_gradient", "weight_update", "dual_forward", "contributions"),
    task="Split relaxed attention's answer to `query` [m] into what `context` alone gives and what `demos` add.",
    equation="F̃_ICL(q) = W_ZSL q + ΔW_ICL q",
    minutes=15,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "W_ZSL is made by the same rule as ΔW_ICL, from the query's own text, `context`, not from the demonstrations.",
        "`meta_gradient(w_v, w_k, context) @ query` and `meta_gradient(w_v, w_k, demos) @ query`, in this order.",
    ),
    passed="Relaxed attention over a prompt is what it was without demonstrations, plus an update of its weights.",
)
def icl_decomposition(attempt: Attempt) -> Iterator[Claim]:
    sizes = (5, 3, 6, 4, 2), (2, 6, 3, 4, 5), (3, 1, 5, 2, 4), (1, 2, 5, 4, 3)
    for seed, (n_demos, n, e, d, m) in enumerate(sizes):
        w_v, w_k, demos, context, query = draw((m, e), (d, e), (n_demos, e), (n, e), (d,), seed=seed)
        zsl, icl = dual.icl_decomposition(w_v, w_k, demos, context, query)
        result = attempt(w_v, w_k, demos, context, query)
        yield is_pair(result, "zero_shot", "update")
        zero_shot, update = result
        joint = (torch.cat([demos, context]) @ w_k.T @ query).softmax(0)
        both = "One softmax runs over both texts: relaxed attention has none; its parts know nothing of each other."
        matrix = {(m, d): "This is the matrix: let it act on the query, `@ query`."}
        yield is_tensor(zero_shot, m, name="the zero-shot part", shapes=matrix)
        mistakes = {
            "The two have changed places: zero-shot comes from `context`, the update from `demos`.": icl.clone,
            "Zero-shot sees the demonstrations: it is made of `context` alone.": (zsl + icl).clone,
            both: ((context @ w_v.T).T @ joint[n_demos:]).clone,
        }
        mistakes |= relaxed_mistakes(w_v, w_k, context, query)
        yield equals(zero_shot, zsl, f"W_ZSL q from {n} random tokens of context", mistakes)
        yield is_tensor(update, m, name="the update", shapes=matrix)
        mistakes = {
            "This is the sum: the update is ΔW_ICL q alone.": (zsl + icl).clone,
            "Both parts come from `context`: the update is made of `demos`.": zsl.clone,
            "The sign: the update is what is added to zero-shot.": icl.neg,
            "This is the difference of the two: the update is ΔW_ICL q itself.": (icl - zsl).clone,
            both: ((demos @ w_v.T).T @ joint[:n_demos]).clone,
        }
        mistakes |= relaxed_mistakes(w_v, w_k, demos, query)
        yield equals(update, icl, f"ΔW_ICL q from {n_demos} random demonstration tokens", mistakes)


def layer_mistakes(w0: Tensor, lr: float, inputs: Tensor, targets: Tensor, x: Tensor) -> Mistakes:
    """What the layer would predict; rows are queries."""
    predicted, first, scores = inputs @ w0.T, x @ w0.T, x @ inputs.T
    miss, looks = targets - predicted, -first @ targets.T  # the query's y part is −W₀x
    return {
        "The sign: the query's y part is −W₀x, so that −ΔW x must be added: as values W₀x_j − y_j, with +lr in P.": (
            lambda: first - lr * scores @ miss
        ),
        "The values are y_j as they stand: they must be minus the miss, W₀x_j − y_j.": lambda: (
            first - lr * scores @ targets
        ),
        "W₀ is missing from the values W₀x_j − y_j: it stands in w_v's last m rows, first d columns.": lambda: (
            first + lr * scores @ targets
        ),
        "W₀ has the wrong sign in the values: they are W₀x_j − y_j.": lambda: (
            first + lr * scores @ (targets + predicted)
        ),
        "y_j is missing from the values W₀x_j − y_j.": lambda: first - lr * scores @ predicted,
        "The learning rate is missing: P holds it.": lambda: first + scores @ miss,
        "The learning rate acts twice: in P or in the values, not in both.": lambda: first + lr**2 * scores @ miss,
        "Tokens are compared by their y part too: w_q, w_k must look at x alone, zeros for y.": lambda: (
            first + lr * (scores + looks) @ miss
        ),
        "Tokens are compared by their y part: w_q, w_k must look at x alone.": lambda: first + lr * looks @ miss,
        "The layer leaves the query's y part as it was: what it adds must end up in the last m entries.": first.clone,
    }


@exercise(
    "3.5",
    module=regression,
    task="Write the four matrices with which one layer of linear attention takes one step of gradient descent.",
    equation="e ← e + P Σ_{j ∈ demos} (W_V e_j)(W_K e_j · W_Q e)",
    minutes=30,
    difficulty=5,
    importance=5,
    core=False,
    hints=(
        "Compare by x alone: w_q and w_k are the identity in the first d rows, zero below. P is lr times the identity.",
        "The values are W₀x_j − y_j in the last m rows: `w_v[d:, :d] = w0`, `w_v[d:, d:] = -torch.eye(m)`, else zero.",
    ),
    passed="One layer of linear attention that is a step of gradient descent, whatever is in its context.",
)
def gd_as_attention(attempt: Attempt) -> Iterator[Claim]:
    names = ("w_q", "w_k", "w_v", "p")
    cases = (2, 3, 5, 0.1), (3, 2, 4, 0.3), (1, 4, 3, 0.05), (2, 4, 1, 0.5)
    for seed, (m, d, n, lr) in enumerate(cases):
        w0, inputs, targets, x = draw((m, d), (n, d), (n, m), (6, d), seed=seed)
        layer = attempt(w0, lr)
        yield is_dict(layer, *names)
        for name in names:
            yield is_tensor(layer[name], d + m, d + m, name=f"`{name}`")
        demos, queries = torch.cat([inputs, targets], 1), torch.cat([x, -x @ w0.T], 1)
        predicted = -regression.attend(layer, demos, queries)[:, d:]
        expected = x @ dual.gradient_step(w0, inputs, targets, lr)[1].T
        says = f"minus the y part of 6 queries is W₁x, after {n} demonstration{'s' * (n > 1)} and with m = {m}"
        yield equals(predicted, expected, says, layer_mistakes(w0, lr, inputs, targets, x))


def rate_mistakes(inputs: Tensor, targets: Tensor, x: Tensor, y: Tensor) -> Mistakes:
    _, n, d = inputs.shape
    p = torch.einsum("bn,bnd,bd->b", targets, inputs, x)
    lr = (y * p).sum() / p.square().sum()
    fit = torch.einsum("bj,bjd,bid->bi", targets, inputs, inputs)  # on the demonstrations themselves
    centred, bare = p - p.mean(), torch.einsum("bnd,bd->b", inputs, x)
    return {
        "n times too large: that is the rate for a loss that is a mean; (eq. 2.2) has a sum.": lambda: n * lr,
        "p must be squared below: Σ y p / Σ p².": lambda: (y * p).sum() / p.sum(),
        "Squared after the sum: square each p, then add.": lambda: (y * p).sum() / p.sum().square(),
        "A best rate for each task, then their mean: one rate for all, so add up above and below first.": lambda: (
            y / p
        ).mean(),
        "Targets and predictions are summed before they meet: multiply in each task, then add.": lambda: (
            y.sum() / p.sum()
        ),
        "Upside down: Σ y p above, Σ p² below.": lambda: 1 / lr,
        "Divided by Σ y²: lr scales p, so Σ p² stands below.": lambda: (y * p).sum() / y.square().sum(),
        "The means are taken out first (covariance over variance): nothing is centred here.": lambda: (
            (y * centred).sum() / centred.square().sum()
        ),
        "The targets are missing from p: p = Σ_i t_i (x_i·x).": lambda: (y * bare).sum() / bare.square().sum(),
        "Half of it: the loss has a ½, so that a step has no 2.": lambda: lr / 2,
        "The sign: a step from W = 0 predicts lr · p, with a plus.": lambda: -lr,
        "This rate fits the demonstrations best: the query's error is what counts.": lambda: (
            (targets * fit).sum() / fit.square().sum()
        ),
        "This is the rate in expectation, for gaussian inputs: take the batch as it is.": lambda: torch.tensor(
            regression.theory(n, d)[0], dtype=x.dtype
        ),
    }


@exercise(
    "3.6",
    module=regression,
    task="Return the one learning rate with which a single step from W = 0 predicts best, over all tasks.",
    equation="lr* = Σ_b y_b p_b / Σ_b p_b², p_b = Σ_i t_{b,i} (x_{b,i} · x_b)",
    minutes=20,
    difficulty=3,
    importance=3,
    core=False,
    hints=(
        "One step from W = 0 predicts lr · p_b. The summed squared error is a parabola in lr: where is it flat?",
        "`p = torch.einsum('bn,bnd,bd->b', targets, inputs, x)`; then `(y * p).sum() / (p * p).sum()`.",
    ),
    passed="The best that a single step can do, known before anything is trained: the mark to measure a layer by.",
)
def best_step_size(attempt: Attempt) -> Iterator[Claim]:
    cases = (7, 5, 3, 1.0), (6, 4, 2, 0.5), (8, 1, 4, 1.0), (1, 3, 5, 2.0)
    for seed, (batch, n, d, scale) in enumerate(cases):
        drawn = regression.random_problems(batch, n, d, seed, scale=scale, dtype=torch.float64)
        tasks = drawn.inputs, drawn.targets, drawn.x, drawn.y
        out = attempt(*tasks)
        yield is_number(out)
        expected = torch.tensor(regression.best_step_size(*tasks), dtype=torch.float64)
        says = f"the best lr for {batch} task{'s' * (batch > 1)} of {n} example{'s' * (n > 1)} in {d} dimensions"
        yield equals(torch.as_tensor(out, dtype=torch.float64), expected, says, rate_mistakes(*tasks))


def patch_mistakes(w: Tensor, before: Tensor, after: Tensor) -> Mistakes:
    moved = w @ (after - before)
    size = before @ before
    patch = torch.outer(moved, before) / size
    return {
        "The sign: after − before is what must be added.": lambda: -patch,
        "`before` and `after` have changed places.": lambda: torch.outer(-moved, after) / (after @ after),
        "These are the new weights: ΔW alone is asked for.": lambda: w + patch,
        "Divided by ‖before‖, not by its square.": lambda: patch * size**0.5,
        "Divided by ‖after‖²: it is `before` that the patch acts on.": lambda: patch * size / (after @ after),
        "The division is missing: divide by ‖before‖².": lambda: patch * size,
        "Too much: W before is there already. Missing is W (after − before), not all of W after.": lambda: (
            torch.outer(w @ after, before) / size
        ),
        "The second factor is `before`, not `after`: it is `before` that the patch will meet.": lambda: (
            torch.outer(moved, after) / size
        ),
        "The second factor and the length are both those of `before`, not of `after`.": lambda: (
            torch.outer(moved, after) / (after @ after)
        ),
    }


@exercise(
    "3.7",
    module=dual,
    may_use=("weight_update", "gradient_step"),
    task="Return the smallest change ΔW [m d] with which the weights make of `before` what they now make of `after`.",
    equation="ΔW = W (after − before) ⊗ before / ‖before‖²",
    minutes=15,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "What is missing when W meets `before`: `w @ (after - before)` [m]. A patch u ⊗ before adds u (before·before).",
        "`torch.outer(w @ (after - before), before)`, divided by `before @ before`.",
    ),
    passed="One outer product makes of `before` what the old weights made of `after`: the smallest change that does.",
)
def rank_one_patch(attempt: Attempt) -> Iterator[Claim]:
    for seed, (m, d) in enumerate(((2, 3), (4, 2), (1, 3), (3, 1)), start=1):
        w, before, after = draw((m, d), (d,), (d,), seed=seed)
        expected = dual.rank_one_patch(w, before, after)
        out = attempt(w, before, after)
        shapes = {
            (d, m): "It is transposed: W (after − before) gives the rows, `before` the columns.",
            (d, d): "W is missing: W (after − before) ⊗ before.",
            (m,): "This is a vector: the patch is an outer product, [m d].",
        }
        yield is_tensor(out, m, d, shapes=shapes)
        works, least = close(out @ before, w @ (after - before), 1e-6), close(out, expected, 1e-6)
        larger = (
            "It works, (w + ΔW) before = w after; but the smallest change leaves alone all that is perpendicular to "
            f"`before`, as u ⊗ before does. This one has norm {out.norm():.3g}; {expected.norm():.3g} will do."
        )
        yield holds(least or not works, "of all that work, the smallest", larger)
        says = f"W (after − before) ⊗ before / ‖before‖² for random [{m}, {d}] weights"
        yield equals(out, expected, says, patch_mistakes(w, before, after))
