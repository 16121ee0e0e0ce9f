"""The exercises of notebook 03 on layers: one that is a gradient step, its rate, a prompt as a patch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers import dual, regression
from helpers.check import seeds
from helpers.check.claims import Claim, Mistakes, close, equals, holds, is_dict, is_number, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_02 import draw


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
    minutes=20,
    difficulty=5,
    importance=5,
    core=True,
    hints=(
        "The table of the four matrices above: write down what each must make of a token (x, y) before you fill it in.",
        "w_q and w_k keep x and put zeros for y. w_v puts zeros for x and W₀x − y for y. P multiplies by lr.",
        "Cut w_v into blocks: rows of x above rows of y, columns that read x before columns that read y. "
        "Two blocks are zero; the other two are W₀ and minus the identity. Which goes where?",
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
        "The two lines below (eq. 3.7): p_b is one number a task, what a step of rate 1 from W = 0 predicts.",
        "For p_b, multiply each example's target by x_i · x and add over the examples, for every task apart.",
        "Both sums run over all tasks before the division: `(y * p)` above, `p` squared below. An einsum gives p: "
        "[b n], [b n d] and [b d] in, [b] out.",
    ),
    passed="The best that a single step can do, known before anything is trained: the mark to measure a layer by.",
)
def best_step_size(attempt: Attempt) -> Iterator[Claim]:
    cases = (7, 5, 3, 1.0), (6, 4, 2, 0.5), (8, 1, 4, 1.0), (1, 3, 5, 2.0)
    for seed, (batch, n, d, scale) in enumerate(cases):
        drawn = regression.random_problems(batch, n, d, seeds.generator(seed), scale=scale, dtype=torch.float64)
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
        "The example by hand: which vector is missing when W meets `before`? What does u ⊗ before make of `before`?",
        "W (after − before) is missing. (u ⊗ before) before is u times `before @ before`: so u must be divided.",
        "An outer product of what is missing [m] and `before` [d], divided by the square of the length of `before`.",
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
