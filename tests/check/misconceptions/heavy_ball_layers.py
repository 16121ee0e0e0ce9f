import numpy as np
import torch

from . import right, wrong

NAME = "heavy_ball_layers"


@right(NAME)
def the_last_two(inputs, targets, x, lr, beta, layers):
    """The notebook's solution."""
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        step = lr * (targets - inputs @ w) @ inputs
        w, before = w + step + beta * (w - before), w
    return (w @ x).item()


@right(NAME)
def with_a_velocity(inputs, targets, x, lr, beta, layers):
    """And a tensor without dimensions."""
    w, velocity = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(layers):
        gradient = inputs.T @ (inputs @ w - targets)
        velocity = beta * velocity + gradient
        w = w - lr * velocity
    return w @ x


@right(NAME)
def torch_optimises(inputs, targets, x, lr, beta, layers):
    with torch.enable_grad():
        w = torch.zeros(len(x), dtype=x.dtype, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=lr, momentum=beta)
        for _ in range(layers):
            sgd.zero_grad()
            (0.5 * (inputs @ w - targets).square().sum()).backward()
            sgd.step()
        return float(w.detach() @ x)


@right(NAME)
def autograd_and_two_weights(inputs, targets, x, lr, beta, layers):
    past, w = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(layers):
        with torch.enable_grad():
            here = w.detach().requires_grad_()
            (gradient,) = torch.autograd.grad((inputs @ here - targets).pow(2).sum() / 2, here)
        past, w = w, (1 + beta) * w - beta * past - lr * gradient
    return torch.dot(w, x)


@right(NAME)
def the_dual_form(inputs, targets, x, lr, beta, layers):
    """Never a weight: each example's errors, added up, weigh the comparisons x_i·x."""
    gram = inputs @ inputs.T
    total, move = torch.zeros_like(targets), torch.zeros_like(targets)
    for _ in range(layers):
        move = beta * move + lr * (targets - gram @ total)
        total = total + move
    return float(total @ (inputs @ x))


@right(NAME)
def a_power_of_one_matrix(inputs, targets, x, lr, beta, layers):
    """Closed form: (w, before, 1) times a matrix, `layers` times; and a numpy scalar."""
    a, d = inputs.numpy(), len(x)
    m = np.zeros((2 * d + 1, 2 * d + 1))
    m[:d, :d] = (1 + beta) * np.eye(d) - lr * a.T @ a
    m[:d, d:-1] = -beta * np.eye(d)
    m[:d, -1] = lr * a.T @ targets.numpy()
    m[d:-1, :d] = np.eye(d)
    m[-1, -1] = 1
    return np.linalg.matrix_power(m, layers)[:d, -1] @ x.numpy()


@right(NAME)
def steps_of_before(inputs, targets, x, lr, beta, layers):
    """With exercise 2.2, a layer with one output."""
    from helpers.dual import gradient_step

    w = before = torch.zeros(1, len(x), dtype=x.dtype)
    for _ in range(layers):
        _, ahead = gradient_step(w, inputs, targets[:, None], lr)
        w, before = ahead + beta * (w - before), w
    return (w @ x)[0]


@right(NAME)
def layers_of_attention(inputs, targets, x, lr, beta, layers):
    """With exercise 3.5: tokens (x_i, y_i) and (x, 0) go through the layers, each with its last move."""
    from helpers.regression import attend, gd_as_attention

    layer = gd_as_attention(torch.zeros(1, len(x), dtype=x.dtype), lr)
    queries = torch.cat([x, x.new_zeros(1)])[None]
    tokens = before = torch.cat([torch.cat([inputs, targets[:, None]], 1), queries])
    for _ in range(layers):
        tokens, before = attend(layer, tokens[:-1], tokens) + beta * (tokens - before), tokens
    return -tokens[-1, -1].item()


def slope(w, inputs, targets):
    return sum((w @ a - y) * a for a, y in zip(inputs, targets, strict=True))


@wrong(NAME, "β does nothing")
def plain_descent(inputs, targets, x, lr, beta, layers):
    w = torch.zeros_like(x)
    for _ in range(layers):
        w = w - lr * slope(w, inputs, targets)
    return float(w @ x)


@wrong(NAME, "β does nothing")
def before_comes_too_late(inputs, targets, x, lr, beta, layers):
    w = torch.zeros_like(x)
    for _ in range(layers):
        before = w
        w = w - lr * slope(w, inputs, targets) + beta * (w - before)
    return float(w @ x)


@wrong(NAME, "a sum, not a mean")
def mean_loss(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        gradient = slope(w, inputs, targets) / len(targets)
        w, before = w - lr * gradient + beta * (w - before), w
    return float(w @ x)


@wrong(NAME, "a 2 too many")
def loss_without_a_half(inputs, targets, x, lr, beta, layers):
    with torch.enable_grad():
        w = torch.zeros(len(x), dtype=x.dtype, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=lr, momentum=beta)
        for _ in range(layers):
            sgd.zero_grad()
            ((inputs @ w - targets) ** 2).sum().backward()
            sgd.step()
        return float(w.detach() @ x)


@wrong(NAME, "`mse_loss`")
def torchs_loss(inputs, targets, x, lr, beta, layers):
    with torch.enable_grad():
        w = torch.zeros(len(x), dtype=x.dtype, requires_grad=True)
        sgd = torch.optim.SGD([w], lr=lr, momentum=beta)
        for _ in range(layers):
            sgd.zero_grad()
            torch.nn.functional.mse_loss(inputs @ w, targets).backward()
            sgd.step()
        return float(w.detach() @ x)


@wrong(NAME, "learning rate is missing")
def no_rate(inputs, targets, x, lr, beta, layers):
    w = v = torch.zeros_like(x)
    for _ in range(layers):
        v = beta * v + slope(w, inputs, targets)
        w = w - v
    return float(w @ x)


@wrong(NAME, "learning rate acts twice")
def rate_inside_and_outside(inputs, targets, x, lr, beta, layers):
    w = v = torch.zeros_like(x)
    for _ in range(layers):
        v = beta * v + lr * slope(w, inputs, targets)
        w = w - lr * v
    return float(w @ x)


@wrong(NAME, "go uphill")
def uphill(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        w, before = w + lr * slope(w, inputs, targets) + beta * (w - before), w
    return float(w @ x)


@wrong(NAME, "weighed with 1 − β")
def averaged_velocity(inputs, targets, x, lr, beta, layers):
    w = v = torch.zeros_like(x)
    for _ in range(layers):
        v = beta * v + (1 - beta) * slope(w, inputs, targets)
        w = w - lr * v
    return float(w @ x)


@wrong(NAME, "β multiplies the gradient's step too")
def all_of_it_fades(inputs, targets, x, lr, beta, layers):
    w = move = torch.zeros_like(x)
    for _ in range(layers):
        move = beta * (move - lr * slope(w, inputs, targets))
        w = w + move
    return float(w @ x)


@wrong(NAME, "Nesterov")
def looks_ahead(inputs, targets, x, lr, beta, layers):
    w = v = torch.zeros_like(x)
    for _ in range(layers):
        v = beta * v - lr * slope(w + beta * v, inputs, targets)
        w = w + v
    return float(w @ x)


@wrong(NAME, "one layer too many")
def counts_the_first(inputs, targets, x, lr, beta, layers):
    return the_last_two(inputs, targets, x, lr, beta, layers + 1)


@wrong(NAME, "One layer is missing")
def counts_from_one(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(1, layers):
        w, before = w - lr * slope(w, inputs, targets) + beta * (w - before), w
    return float(w @ x)


@wrong(NAME, "what one layer says")
def returns_inside_the_loop(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        w, before = w - lr * slope(w, inputs, targets) + beta * (w - before), w
        return float(w @ x)


@wrong(NAME, "The last two w are added")
def sums_for_differences(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        w, before = w - lr * slope(w, inputs, targets) + beta * (w + before), w
    return float(w @ x)


@wrong(NAME, "The momentum brakes")
def brakes(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        w, before = w - lr * slope(w, inputs, targets) + beta * (before - w), w
    return float(w @ x)


@wrong(NAME, "stays zero")
def forgets_to_move_before(inputs, targets, x, lr, beta, layers):
    w, before = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(layers):
        w = w - lr * slope(w, inputs, targets) + beta * (w - before)
    return float(w @ x)


@wrong(NAME, "w_t itself is missing")
def moves_from_nowhere(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        w, before = -lr * slope(w, inputs, targets) + beta * (w - before), w
    return float(w @ x)


@wrong(NAME, "taken at w = 0")
def the_same_errors_for_ever(inputs, targets, x, lr, beta, layers):
    step, w, move = lr * targets @ inputs, torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(layers):
        move = step + beta * move
        w = w + move
    return float(w @ x)


@wrong(NAME, "Only the gradient before")
def two_gradients(inputs, targets, x, lr, beta, layers):
    w, last = torch.zeros_like(x), torch.zeros_like(x)
    for _ in range(layers):
        gradient = slope(w, inputs, targets)
        w, last = w - lr * (gradient + beta * last), gradient
    return float(w @ x)


@wrong(NAME, "as w has: predict with it")
def weights(inputs, targets, x, lr, beta, layers):
    w = before = torch.zeros_like(x)
    for _ in range(layers):
        w, before = w - lr * slope(w, inputs, targets) + beta * (w - before), w
    return w


@wrong(NAME, "one number is asked for")
def every_layers_prediction(inputs, targets, x, lr, beta, layers):
    """A prediction more than there are layers, the first one 0."""
    w = before = torch.zeros_like(x)
    said = [w @ x]
    for _ in range(layers):
        w, before = w - lr * slope(w, inputs, targets) + beta * (w - before), w
        said.append(w @ x)
    return torch.stack(said)


@wrong(NAME, "is None")
def printed_only(inputs, targets, x, lr, beta, layers):
    print(the_last_two(inputs, targets, x, lr, beta, layers))


@wrong(NAME, "in place")
def errors_in_the_targets(inputs, targets, x, lr, beta, layers):
    move = w = torch.zeros_like(x)
    for _ in range(layers):
        move = lr * targets @ inputs + beta * move
        w = w + move
        targets -= inputs @ move
    return float(w @ x)


@wrong(NAME, "calls `predict`")
def the_courses_layers(inputs, targets, x, lr, beta, layers):
    from helpers.regression import Problems, gd_as_attention, predict

    layer = gd_as_attention(torch.zeros(1, len(x), dtype=x.dtype), lr)
    return predict([layer] * layers, Problems(inputs[None], targets[None], x[None], x[:1]), beta).item()


@wrong(NAME, "calls `trained`")
def the_courses_dual_form(inputs, targets, x, lr, beta, layers):
    from helpers.dual import trained

    return (trained(torch.zeros(1, len(x), dtype=x.dtype), inputs, targets[:, None], lr, layers, beta)[1] @ x).item()


@wrong(NAME, "calls `heavy_ball_layers`")
def the_courses_own(inputs, targets, x, lr, beta, layers):
    from helpers.regression import heavy_ball_layers

    return heavy_ball_layers(inputs, targets, x, lr, beta, layers)
