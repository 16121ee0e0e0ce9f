import torch

from . import right, wrong

NAME = "gradient_step"


@right(NAME)
def one_example_at_a_time(w, inputs, targets, lr):
    errors, new = [], w.clone()
    for x, y in zip(inputs, targets, strict=True):
        errors.append(lr * (y - w @ x))
        new += torch.outer(errors[-1], x)
    return torch.stack(errors), new


@right(NAME)
def by_autograd(w, inputs, targets, lr):
    with torch.enable_grad():
        w = w.clone().requires_grad_()
        said = inputs @ w.T
        said.retain_grad()
        ((said - targets) ** 2).sum().div(2).backward()
    return -lr * said.grad, w.detach() - lr * w.grad


@right(NAME)
def columns(w, inputs, targets, lr):
    errors = targets.T - w @ inputs.T
    return lr * errors.T, w + (lr * errors) @ inputs


@right(NAME)
def with_the_exercise_before(w, inputs, targets, lr):
    from helpers import dual

    errors = lr * targets - lr * torch.einsum("md,nd->nm", w, inputs)
    return errors, dual.weight_update(errors, inputs) + w


@wrong(NAME, "what is missing, not what is too much")
def gradient_for_error(w, inputs, targets, lr):
    gradient = lr * (inputs @ w.T - targets)
    return gradient, w - gradient.T @ inputs


@wrong(NAME, "rate is missing from the errors")
def rate_at_the_end(w, inputs, targets, lr):
    miss = targets - inputs @ w.T
    return miss, w + lr * miss.T @ inputs


@wrong(NAME, "acts twice")
def rate_twice(w, inputs, targets, lr):
    errors = lr * (targets - inputs @ w.T)
    return errors, w + lr * torch.einsum("nm,nd->md", errors, inputs)


@wrong(NAME, "missing from the step")
def rate_for_show(w, inputs, targets, lr):
    miss = targets - inputs @ w.T
    return lr * miss, w + miss.T @ inputs


@wrong(NAME, "not a mean")
def mean_over_examples(w, inputs, targets, lr):
    errors = lr / inputs.shape[0] * (targets - inputs @ w.T)
    return errors, w + errors.T @ inputs


@wrong(NAME, "not a mean")
def mean_in_the_step_alone(w, inputs, targets, lr):
    errors = lr * (targets - inputs @ w.T)
    return errors, w + torch.stack([torch.outer(e, x) for e, x in zip(errors, inputs, strict=True)]).mean(0)


@wrong(NAME, "a 2 too many")
def loss_without_a_half(w, inputs, targets, lr):
    with torch.enable_grad():
        w = w.clone().requires_grad_()
        said = inputs @ w.T
        by_said, by_w = torch.autograd.grad((said - targets).square().sum(), (said, w))
    return -lr * by_said, w.detach() - lr * by_w


@wrong(NAME, "`mse_loss`")
def torchs_mean_loss(w, inputs, targets, lr):
    with torch.enable_grad():
        w = w.clone().requires_grad_()
        said = inputs @ w.T
        by_said, by_w = torch.autograd.grad(torch.nn.functional.mse_loss(said, targets), (said, w))
    return -lr * by_said, w.detach() - lr * by_w


@wrong(NAME, "`mse_loss`")
def torchs_mean_loss_for_the_step(w, inputs, targets, lr):
    with torch.enable_grad():
        w = w.clone().requires_grad_()
        (by_w,) = torch.autograd.grad(torch.nn.functional.mse_loss(inputs @ w.T, targets), w)
    return lr * (targets - inputs @ w.detach().T), w.detach() - lr * by_w


@wrong(NAME, "goes uphill")
def minus_out_of_habit(w, inputs, targets, lr):
    errors = lr * (targets - inputs @ w.T)
    return errors, w - errors.T @ inputs


@wrong(NAME, "update alone")
def forgets_the_old_weights(w, inputs, targets, lr):
    errors = lr * (targets - inputs @ w.T)
    return errors, errors.T @ inputs


@wrong(NAME, "old weights")
def forgets_to_step(w, inputs, targets, lr):
    return lr * (targets - inputs @ w.T), w.clone()


@wrong(NAME, "targets alone")
def as_if_w_were_zero(w, inputs, targets, lr):
    errors = lr * targets
    return errors, w + errors.T @ inputs


@wrong(NAME, "targets are missing")
def what_it_says(w, inputs, targets, lr):
    errors = lr * (inputs @ w.T)
    return errors, w + errors.T @ inputs


@wrong(NAME, "before the step")
def errors_afterwards(w, inputs, targets, lr):
    new = w + lr * (targets - inputs @ w.T).T @ inputs
    return lr * (targets - inputs @ new.T), new


@wrong(NAME, "changed places")
def weights_first(w, inputs, targets, lr):
    errors = lr * (targets - inputs @ w.T)
    return w + errors.T @ inputs, errors


@wrong(NAME, "a row for every example")
def errors_as_columns(w, inputs, targets, lr):
    errors = lr * (targets.T - w @ inputs.T)
    return errors, w + errors @ inputs


@wrong(NAME, "Two results are asked for")
def weights_only(w, inputs, targets, lr):
    return w + lr * (targets - inputs @ w.T).T @ inputs


@wrong(NAME, "in place")
def steps_on_its_input(w, inputs, targets, lr):
    errors = lr * (targets - inputs @ w.T)
    w += errors.T @ inputs
    return errors, w


@wrong(NAME, "move after every example")
def example_by_example(w, inputs, targets, lr):
    errors = []
    for x, y in zip(inputs, targets, strict=True):
        errors.append(lr * (y - w @ x))
        w = w + torch.outer(errors[-1], x)
    return torch.stack(errors), w


@right(NAME)
def by_autograd_as_on_the_page(w, inputs, targets, lr):
    moved = w.clone().requires_grad_()
    (0.5 * (inputs @ moved.T - targets).square().sum()).backward()
    return lr * (targets - inputs @ w.T), w - lr * moved.grad
