import torch

from helpers import dual

from . import right, wrong

NAME = "unrolled_training"


@right(NAME)
def with_the_exercise_before(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        e, w = dual.gradient_step(w, inputs, targets, lr)
        errors.append(e)
    return torch.vstack(errors), torch.vstack([inputs] * steps)


@right(NAME)
def rows_filled_in(w0, inputs, targets, lr, steps):
    n, w = len(inputs), w0.clone()
    errors = torch.empty(steps * n, targets.shape[1], dtype=w0.dtype)
    seen = torch.empty(steps * n, inputs.shape[1], dtype=w0.dtype)
    for t in range(steps):
        for i in range(n):
            errors[t * n + i] = lr * (targets[i] - w @ inputs[i])
            seen[t * n + i] = inputs[i]
        for i in range(n):
            w += torch.outer(errors[t * n + i], inputs[i])
    return errors, seen


@right(NAME)
def without_any_weights(w0, inputs, targets, lr, steps):
    """In the dual form throughout: the layer is asked through its history."""
    errors, seen = torch.empty(0, targets.shape[1], dtype=w0.dtype), inputs[:0]
    for _ in range(steps):
        said = inputs @ w0.T + (inputs @ seen.T) @ errors
        errors, seen = torch.cat([errors, lr * (targets - said)]), torch.cat([seen, inputs])
    return errors, seen


@right(NAME)
def errors_as_a_power(w0, inputs, targets, lr, steps):
    """The misses obey a linear recurrence of their own: r ← (1 − lr X Xᵀ) r."""
    shrink = torch.eye(len(inputs), dtype=w0.dtype) - lr * inputs @ inputs.T
    first = lr * (targets - inputs @ w0.T)
    errors = [torch.linalg.matrix_power(shrink, t) @ first for t in range(steps)]
    return torch.cat(errors), inputs.repeat(steps, 1)


@right(NAME)
def by_autograd(w0, inputs, targets, lr, steps):
    w, errors = w0, []
    for _ in range(steps):
        with torch.enable_grad():
            leaf = w.clone().requires_grad_()
            said = inputs @ leaf.T
            by_said, by_w = torch.autograd.grad(0.5 * (said - targets).square().sum(), (said, leaf))
        errors.append(-lr * by_said)
        w = w - lr * by_w
    return torch.cat(errors), inputs.tile(steps, 1)


@wrong(NAME, "takes its errors at W₀")
def stale(w0, inputs, targets, lr, steps):
    return (lr * (targets - inputs @ w0.T)).repeat(steps, 1), inputs.repeat(steps, 1)


@wrong(NAME, "starts again from W₀")
def never_gets_far(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        errors.append(lr * (targets - inputs @ w.T))
        w = w0 + errors[-1].T @ inputs
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "takes the place of the weights")
def update_for_weights(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        errors.append(lr * (targets - inputs @ w.T))
        w = dual.weight_update(errors[-1], inputs)
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "go uphill")
def minus_out_of_habit(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        errors.append(lr * (targets - inputs @ w.T))
        w = w - errors[-1].T @ inputs
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "acts twice")
def rate_twice(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        errors.append(lr * (targets - inputs @ w.T))
        w = w + lr * dual.weight_update(errors[-1], inputs)
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "are taken after it")
def one_step_late(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        w = dual.gradient_step(w, inputs, targets, lr)[1]
        errors.append(lr * (targets - inputs @ w.T))
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "added up over the steps")
def running_totals(w0, inputs, targets, lr, steps):
    total, errors, w = 0, [], w0
    for _ in range(steps):
        e, w = dual.gradient_step(w, inputs, targets, lr)
        total = total + e
        errors.append(total)
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "last step comes first")
def latest_on_top(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        e, w = dual.gradient_step(w, inputs, targets, lr)
        errors.insert(0, e)
    return torch.cat(errors), inputs.repeat(steps, 1)


@wrong(NAME, "The order is example after example")
def grouped_by_example(w0, inputs, targets, lr, steps):
    errors, _ = with_the_exercise_before(w0, inputs, targets, lr, steps)
    by_example = [errors[i :: len(inputs)] for i in range(len(inputs))]
    return torch.cat(by_example), torch.cat([x.repeat(steps, 1) for x in inputs])


@wrong(NAME, "inputs are example after example")
def inputs_grouped_by_example(w0, inputs, targets, lr, steps):
    errors, _ = with_the_exercise_before(w0, inputs, targets, lr, steps)
    return errors, torch.repeat_interleave(inputs, steps, dim=0)


@wrong(NAME, "The weights move after every example")
def stochastic(w0, inputs, targets, lr, steps):
    errors, w = [], w0
    for _ in range(steps):
        for x, y in zip(inputs, targets, strict=True):
            errors.append(lr * (y - w @ x))
            w = w + torch.outer(errors[-1], x)
    return torch.stack(errors), inputs.repeat(steps, 1)


@wrong(NAME, "not `torch.stack`")
def stacked(w0, inputs, targets, lr, steps):
    errors, seen = with_the_exercise_before(w0, inputs, targets, lr, steps)
    return errors.view(steps, len(inputs), -1), seen.view(steps, len(inputs), -1)


@wrong(NAME, "all inputs again for each step")
def inputs_once(w0, inputs, targets, lr, steps):
    return with_the_exercise_before(w0, inputs, targets, lr, steps)[0], inputs


@wrong(NAME, "not the last alone")
def last_step_only(w0, inputs, targets, lr, steps):
    w = w0
    for _ in range(steps):
        e, w = dual.gradient_step(w, inputs, targets, lr)
    return e, inputs


@wrong(NAME, "One step is missing")
def range_from_one(w0, inputs, targets, lr, steps):
    errors, w = [torch.empty(0, targets.shape[1], dtype=w0.dtype)], w0
    for _ in range(1, steps):
        e, w = dual.gradient_step(w, inputs, targets, lr)
        errors.append(e)
    return torch.cat(errors), inputs.repeat(steps - 1, 1)


@wrong(NAME, "one step too many")
def range_to_steps(w0, inputs, targets, lr, steps):
    return with_the_exercise_before(w0, inputs, targets, lr, steps + 1)


@wrong(NAME, "changed places")
def inputs_first(w0, inputs, targets, lr, steps):
    return with_the_exercise_before(w0, inputs, targets, lr, steps)[::-1]


@wrong(NAME, "calls `trained`")
def the_courses_training(w0, inputs, targets, lr, steps):
    layers = [dual.trained(w0, inputs, targets, lr, t)[1] for t in range(steps)]
    return torch.cat([lr * (targets - inputs @ w.T) for w in layers]), inputs.repeat(steps, 1)


@wrong(NAME, "The learning rate is missing from the errors")
def bare_misses(w0, inputs, targets, lr, steps):
    w, misses = w0, []
    for _ in range(steps):
        misses.append(targets - inputs @ w.T)
        w = w + lr * misses[-1].T @ inputs
    return torch.cat(misses), inputs.repeat(steps, 1)


@wrong(NAME, "not their sum")
def added_up_over_the_steps(w0, inputs, targets, lr, steps):
    w, total = w0, torch.zeros_like(targets)
    for _ in range(steps):
        miss = lr * (targets - inputs @ w.T)
        w, total = w + miss.T @ inputs, total + miss
    return total, inputs
