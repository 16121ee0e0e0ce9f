"""The exercises of notebook 02: a step as a sum, the layer without its weights, many steps, each example's share."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from helpers import dual
from helpers.check import seeds
from helpers.check.claims import Claim, Mistakes, equals, holds, is_pair, is_tensor
from helpers.check.engine import Attempt, exercise

SIZES = ((5, 2, 3), (4, 3, 2), (1, 2, 3))  # examples, width of an input, outputs: no two alike, and one example alone


def draw(*shapes: tuple[int, ...], seed: int) -> tuple[Tensor, ...]:
    """Random tensors in float64."""
    rng = seeds.generator(seed)
    return tuple(torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes)


def in_order(result: tuple, first: str, second: str, *shapes: tuple[int, int]) -> Claim:
    """Two results, told apart by their shapes, are not in each other's place."""
    swapped = [getattr(part, "shape", None) for part in result] == [shapes[1], shapes[0]]
    return holds(not swapped, f"{first} first", f"The two have changed places: first {first}, then {second}.")


def update_mistakes(errors: Tensor, inputs: Tensor) -> Mistakes:
    total = errors.T @ inputs
    return {
        "Divided by the number of examples: a sum is asked for, not a mean.": lambda: total / len(inputs),
        "The sign: an error says where to go, and ΔW goes there.": lambda: -total,
        "Only the last example is left: add the outer products up.": lambda: torch.outer(errors[-1], inputs[-1]),
        "Only the first example is in it: add the others.": lambda: torch.outer(errors[0], inputs[0]),
        "Summed too early: multiply each e_i with its own x_i, then add.": lambda: torch.outer(
            errors.sum(0), inputs.sum(0)
        ),
    }


@exercise(
    "2.1",
    module=dual,
    task="Return the update ΔW [m d]: the outer product of each error and its input, added up over the examples.",
    equation="ΔW = Σ_i e_i ⊗ x_i",
    minutes=5,
    difficulty=1,
    importance=5,
    core=True,
    hints=(
        "Begin with one example: which matrix [m d] do `errors[i]` and `inputs[i]` make?",
        "`torch.outer(errors[i], inputs[i])`, added up over i. A loop will do; a matrix product adds up as well.",
        "A matrix product sums over the index in the middle: n must stand there, so one of the two is transposed.",
    ),
    passed="An update is a sum: one outer product of an error and its input for each example.",
)
def weight_update(attempt: Attempt) -> Iterator[Claim]:
    for seed, (n, d, m) in enumerate(SIZES):
        errors, inputs = draw((n, m), (n, d), seed=seed)
        out = attempt(errors, inputs)
        shapes = {
            (d, m): "It is transposed: e_i ⊗ x_i has a row for every output, a column for every entry of x.",
            (n, m, d): "The outer products still have to be added up, over the examples.",
        }
        yield is_tensor(out, m, d, shapes=shapes)
        yield equals(out, errors.T @ inputs, f"Σ e_i ⊗ x_i of {n} random examples", update_mistakes(errors, inputs))


def error_mistakes(w: Tensor, inputs: Tensor, targets: Tensor, lr: float) -> Mistakes:
    miss = targets - inputs @ w.T
    new = w + lr * miss.T @ inputs
    return {
        "The sign: e_i = lr (y_i − w x_i) is what is missing, not what is too much.": lambda: -lr * miss,
        "The learning rate is missing from the errors.": lambda: miss,
        "Divided by the number of examples: the loss is a sum, not a mean.": lambda: lr * miss / len(inputs),
        "There is a 2 too many: the loss has a ½, so that its gradient has no 2.": lambda: 2 * lr * miss,
        "This is the gradient of `mse_loss`, a mean: the loss here is ½ of a sum.": lambda: (
            2 * lr * miss / miss.numel()
        ),
        "What the layer says, w x_i, is missing: these are the targets alone.": lambda: lr * targets,
        "The targets are missing: this is what the layer says, not how far off it is.": lambda: lr * inputs @ w.T,
        "The errors are those of the new weights: take them before the step.": lambda: lr * (targets - inputs @ new.T),
        "The weights move after every example: one step takes all examples at the same weights.": lambda: one_by_one(
            w, inputs, targets, lr, 1
        ),
    }


def step_mistakes(w: Tensor, update: Tensor, lr: float, n: int) -> Mistakes:
    m = len(w)
    return {
        "This is the update alone: the new weights are w plus it.": lambda: update,
        "These are the old weights: add the update.": lambda: w,
        "The step goes uphill: with e_i = lr (y_i − w x_i) the update is added.": lambda: w - update,
        "The learning rate acts twice: it is already in the errors.": lambda: w + lr * update,
        "The learning rate is missing from the step.": lambda: w + update / lr,
        "Divided by the number of examples: the loss is a sum, not a mean.": lambda: w + update / n,
        "There is a 2 too many: the loss has a ½, so that its gradient has no 2.": lambda: w + 2 * update,
        "This is a step on `mse_loss`, a mean: the loss here is ½ of a sum.": lambda: w + 2 * update / (n * m),
    }


@exercise(
    "2.2",
    module=dual,
    may_use=("weight_update",),
    task="Take one step of gradient descent on ½ Σ ‖w x_i − y_i‖²; return the errors [n m] and the new weights [m d].",
    equation="e_i = lr (y_i − w x_i), w' = w + Σ_i e_i ⊗ x_i",
    minutes=15,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "First the layer's outputs for all inputs, a row for each example: the targets have the same shape [n m].",
        "The outputs are `inputs @ w.T`. The error is what is missing, target minus output, times the learning rate.",
        "The new weights are `w` plus exercise 2.1's update, made of these errors: they hold the rate already.",
    ),
    passed="A step of gradient descent writes each example's error onto its input, and adds it to the weights.",
)
def gradient_step(attempt: Attempt) -> Iterator[Claim]:
    for seed, ((n, d, m), lr) in enumerate(zip(SIZES, (0.3, 0.1, 0.7), strict=True)):
        w, inputs, targets = draw((m, d), (n, d), (n, m), seed=seed)
        expected, new = dual.gradient_step(w, inputs, targets, lr)
        result = attempt(w, inputs, targets, lr)
        yield is_pair(result, "errors", "w")
        yield in_order(result, "the errors", "the new weights", (n, m), (m, d))
        errors, moved = result
        transposed = "They are transposed: a row for every example, `inputs @ w.T`."
        yield is_tensor(errors, n, m, name="`errors`", shapes={(m, n): transposed})
        says = f"e_i = lr (y_i − w x_i) of {n} random examples"
        yield equals(errors, expected, says, error_mistakes(w, inputs, targets, lr))
        transposed = "They are transposed: the update is `errors.T @ inputs`, [m d]."
        yield is_tensor(moved, m, d, name="the new weights", shapes={(d, m): transposed})
        yield equals(moved, new, "w + Σ e_i ⊗ x_i", step_mistakes(w, new - w, lr, n))


def dual_mistakes(w0: Tensor, errors: Tensor, inputs: Tensor, x: Tensor) -> Mistakes:
    first, scores = w0 @ x, inputs @ x
    return {
        "W₀x is missing: this is only what training has changed.": lambda: errors.T @ scores,
        "This is W₀x alone: the training examples are missing.": lambda: first,
        "A softmax is in there: errors are weighed by the raw x_i·x.": lambda: first + errors.T @ scores.softmax(0),
        "This is softmax attention: errors are weighed by the raw x_i·x.": lambda: (
            first + errors.T @ (scores / len(x) ** 0.5).softmax(0)
        ),
        "The comparisons are divided by √d: the raw x_i·x is asked for.": lambda: (
            first + errors.T @ scores / len(x) ** 0.5
        ),
        "Divided by the number of examples: a sum is asked for, not a mean.": lambda: (
            first + errors.T @ scores / len(scores)
        ),
        "The sign: what the examples say is added to W₀x.": lambda: first - errors.T @ scores,
        "Each input is compared with itself: compare it with x.": lambda: first + errors.T @ inputs.square().sum(1),
        "Summed too early: weigh each e_i by its own x_i·x, then add.": lambda: first + errors.sum(0) * scores.sum(),
    }


@exercise(
    "2.3",
    module=dual,
    may_use=("weight_update",),
    task="Return what the trained layer says to x [m], from first weights, errors and inputs, without forming ΔW.",
    equation="W₁x = W₀x + Σ_i e_i (x_i·x)",
    minutes=10,
    difficulty=2,
    importance=5,
    core=True,
    hints=(
        "Read (eq. 2.3) from the right: the comparisons come first, one number for each example.",
        "`inputs @ x` [n] holds x_i·x for every example. Multiply each error by its own number, then add up over i.",
        "Adding up over the examples is a product with `errors.T` [m n]. Keep the comparison in brackets, and add W₀x.",
    ),
    passed="The trained layer is its first weights plus attention to its training set; nobody formed ΔW.",
)
def dual_forward(attempt: Attempt) -> Iterator[Claim]:
    single = "These are the examples' terms, one by one: add them up."
    for seed, (n, d, m) in enumerate(SIZES):
        w0, errors, inputs, x = draw((m, d), (n, m), (n, d), (d,), seed=seed)
        out = attempt(w0, errors, inputs, x)
        yield is_tensor(out, m, shapes={(n, m): single, (m, n): single})
        says = f"W₀x + Σ e_i (x_i·x) with {n} random examples"
        yield equals(out, w0 @ x + errors.T @ (inputs @ x), says, dual_mistakes(w0, errors, inputs, x))
    w0, errors, inputs, x = draw((3, 2), (5, 3), (5, 2), (2,), seed=3)
    out = attempt(w0, 1e160 * errors, 1e160 * inputs, 1e-160 * x)  # e_i ⊗ x_i is beyond float64, e_i (x_i·x) is not
    formed = (
        "It forms ΔW on the way: each e_i is multiplied with x_i before x is asked. So do `errors.T @ inputs @ x` "
        "and one einsum of all three, from left to right. First compare, `inputs @ x`, in brackets; then weigh."
    )
    yield holds(bool(out.isfinite().all()), "ΔW is never formed", formed)


def history(
    w0: Tensor, inputs: Tensor, targets: Tensor, lr: float, steps: int, move: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """The errors of all steps [steps n m], where the next weights are `move(weights, update)`."""
    errors, w = [], w0
    for _ in range(steps):
        errors.append(lr * (targets - inputs @ w.T))
        w = move(w, errors[-1].T @ inputs)
    return torch.stack(errors)


def one_by_one(w0: Tensor, inputs: Tensor, targets: Tensor, lr: float, steps: int) -> Tensor:
    """The errors of all steps [steps·n m], where the weights move after every single example."""
    errors, w = [], w0
    for x, y in zip(inputs.repeat(steps, 1), targets.repeat(steps, 1), strict=True):
        errors.append(lr * (y - w @ x))
        w = w + torch.outer(errors[-1], x)
    return torch.stack(errors)


def unrolled_mistakes(w0: Tensor, inputs: Tensor, targets: Tensor, lr: float, steps: int) -> Mistakes:
    def moved(move: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        return history(w0, inputs, targets, lr, steps, move).flatten(0, 1)

    right = history(w0, inputs, targets, lr, steps + 1, torch.add)
    return {
        "Every step takes its errors at W₀: after a step the weights are others.": lambda: moved(lambda w, dw: w0),
        "Every step starts again from W₀: add the update to the last weights.": lambda: moved(lambda w, dw: w0 + dw),
        "The update takes the place of the weights: add it to them.": lambda: moved(lambda w, dw: dw),
        "The steps go uphill: with e_i = lr (y_i − w x_i) the update is added.": lambda: moved(torch.sub),
        "The learning rate acts twice: it is already in the errors.": lambda: moved(lambda w, dw: w + lr * dw),
        "The learning rate is missing from the errors.": lambda: (right[:-1] / lr).flatten(0, 1),
        "The sign: e_i = lr (y_i − w x_i) is what is missing, not what is too much.": lambda: -right[:-1].flatten(0, 1),
        "Each step's errors are taken after it: take them before the weights move.": lambda: right[1:].flatten(0, 1),
        "The errors are added up over the steps: keep each step's own.": lambda: right[:-1].cumsum(0).flatten(0, 1),
        "The last step comes first: keep them in their order.": lambda: right[:-1].flip(0).flatten(0, 1),
        "The order is example after example: all of step 1 first, then all of step 2.": lambda: (
            right[:-1].transpose(0, 1).flatten(0, 1)
        ),
        "The weights move after every example: one step takes all examples at the same weights.": lambda: one_by_one(
            w0, inputs, targets, lr, steps
        ),
    }


@exercise(
    "2.4",
    module=dual,
    may_use=("weight_update", "gradient_step", "dual_forward", "contributions"),
    task="Take `steps` steps; return the errors of all steps [steps·n m] and the input of each [steps·n d].",
    equation="W_T x = W₀x + Σ_t Σ_i e_i^(t) (x_i·x), e_i^(t) = lr (y_i − W_{t−1} x_i)",
    minutes=20,
    difficulty=3,
    importance=4,
    core=False,
    hints=(
        "Exercise 2.2 is one step. What does the next step need of it, and what must be kept?",
        "Loop over the steps: each gives errors [n m] and new weights. Keep all errors in a list and the last weights.",
        "`torch.cat` joins the list to [steps·n m]. The inputs come again whole, step after step: `repeat` does that.",
    ),
    passed="A whole training run is attention too: over every example at every step.",
)
def unrolled_training(attempt: Attempt) -> Iterator[Claim]:
    cases = ((5, 2, 3, 3, 0.1), (4, 3, 2, 2, 0.2), (1, 2, 3, 4, 0.3), (5, 3, 2, 1, 0.1))
    for seed, (n, d, m, steps, lr) in enumerate(cases):
        w0, inputs, targets = draw((m, d), (n, d), (n, m), seed=seed)
        expected, again = dual.unrolled_training(w0, inputs, targets, lr, steps)
        result = attempt(w0, inputs, targets, lr, steps)
        yield is_pair(result, "errors", "inputs")
        yield in_order(result, "the errors", "the inputs", (steps * n, m), (steps * n, d))
        errors, seen = result
        shapes = {
            (steps, n, m): "Join the steps in one list of rows: `torch.cat`, not `torch.stack`.",
            ((steps + 1) * n, m): "That is one step too many.",
            ((steps - 1) * n, m): "One step is missing.",
            (
                n,
                m,
            ): "One row for every example: keep each example's error of every step, not their sum, not the last alone.",
        }
        yield is_tensor(errors, steps * n, m, name="`errors`", shapes=shapes)
        says = f"errors of {steps} step{'s' * (steps > 1)} on {n} example{'s' * (n > 1)}, step after step"
        yield equals(errors, expected, says, unrolled_mistakes(w0, inputs, targets, lr, steps))
        shapes = {
            (n, d): "Every error needs its input beside it: all inputs again for each step.",
            (steps, n, d): "Join the steps in one list of rows: `torch.cat`, not `torch.stack`.",
        }
        yield is_tensor(seen, steps * n, d, name="`inputs`", shapes=shapes)
        order = "The inputs are example after example; the errors are step after step (`repeat`)."
        mistakes = {order: lambda inputs=inputs, steps=steps: inputs.repeat_interleave(steps, 0)}
        yield equals(seen, again, "each error's input in its row", mistakes)


def share_mistakes(errors: Tensor, inputs: Tensor, x: Tensor) -> Mistakes:
    scores = (inputs @ x)[:, None]
    lengths = inputs.norm(dim=1, keepdim=True) * x.norm()
    return {
        "The comparison is missing: these are the errors, whatever x is.": lambda: errors,
        "The sign is lost: a share may pull the other way.": lambda: (errors * scores).abs(),
        "A softmax is in there: errors are weighed by the raw x_i·x.": lambda: errors * scores.softmax(0),
        "The comparison is the raw x_i·x, not a cosine.": lambda: errors * scores / lengths,
        "The comparisons are divided by √d: the raw x_i·x is asked for.": lambda: errors * scores / len(x) ** 0.5,
        "Each input is compared with itself: compare it with x.": lambda: errors * inputs.square().sum(1, keepdim=True),
        "Divided by the number of examples: the shares sum to the change itself.": lambda: (
            errors * scores / len(errors)
        ),
        "Divided by their sum: the shares sum to the prediction's change, not to one.": lambda: (
            errors * scores / (errors * scores).sum(0)
        ),
        "All comparisons are added up: each e_i has its own x_i·x.": lambda: errors * scores.sum(),
        "The shares are added up on the way: each example has its own row.": lambda: (errors * scores).cumsum(0),
    }


@exercise(
    "2.5",
    module=dual,
    may_use=("weight_update", "dual_forward"),
    task="Return each training example's share [n m] of what training has changed in the answer to x.",
    equation="c_i = e_i (x_i·x), Σ_i c_i = W_T x − W₀x",
    minutes=10,
    difficulty=2,
    importance=4,
    core=True,
    hints=(
        "These are the terms of (eq. 2.3) before they are added up: a row for each example.",
        "Row i is `errors[i]`, multiplied by one number: `inputs[i] @ x`.",
        "All numbers at once are `inputs @ x` [n]; as a column, `[:, None]`, they multiply the rows of a table [n m].",
    ),
    passed="Every training example's share of the answer, exact: they sum to what training has changed.",
)
def contributions(attempt: Attempt) -> Iterator[Claim]:
    for seed, (n, d, m) in enumerate(SIZES):
        errors, inputs, x = draw((n, m), (n, d), (d,), seed=seed)
        out = attempt(errors, inputs, x)
        shapes = {
            (m,): "They are added up already: return a row for each example.",
            (m, n): "They are transposed: a row for each example.",
            (n,): "An example has a share in each of the m outputs.",
            (n, m, d): "x_i·x is one number for each example: the product still has to be summed over d.",
        }
        yield is_tensor(out, n, m, shapes=shapes)
        says = f"e_i (x_i·x) of {n} random examples"
        yield equals(out, errors * (inputs @ x)[:, None], says, share_mistakes(errors, inputs, x))
