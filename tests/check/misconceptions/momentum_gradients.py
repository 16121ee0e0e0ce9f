import torch

from . import right, wrong

NAME = "momentum_gradients"


@right(NAME)
def carried(gradients, eta):
    """The notebook's solution."""
    u, buffers = torch.zeros_like(gradients[0]), []
    for g in gradients:
        u = g + eta * u
        buffers.append(u)
    return torch.stack(buffers)


@right(NAME)
def a_table_of_powers(gradients, eta):
    n = len(gradients)
    table = torch.zeros(n, n, dtype=gradients.dtype)
    for t in range(n):
        for i in range(t + 1):
            table[t, i] = eta ** (t - i)
    return torch.einsum("ti,id->td", table, gradients)


@right(NAME)
def what_sgd_keeps(gradients, eta):
    weights = torch.zeros_like(gradients[0])
    sgd = torch.optim.SGD([weights], lr=1.0, momentum=eta)
    moves = []
    for g in gradients:
        weights.grad, before = g.clone(), weights.clone()
        weights.zero_()
        sgd.step()
        moves.append(-weights)
        weights.copy_(before)
    return torch.stack(moves)


@right(NAME)
def as_a_linear_system(gradients, eta):
    n = len(gradients)
    lower = torch.eye(n, dtype=gradients.dtype) - eta * torch.diag(gradients.new_ones(n - 1), -1)
    return torch.linalg.solve_triangular(lower, gradients, upper=False)


@right(NAME)
def by_doubling(gradients, eta):
    u, reach = gradients, 1
    while reach < len(u):
        u = u + eta**reach * torch.cat([torch.zeros_like(u[:reach]), u[:-reach]])
        reach *= 2
    return u.clone()


@right(NAME)
def all_by_itself(gradients, eta):
    """Recursion: the last buffer from all before it."""
    if len(gradients) == 1:
        return gradients.clone()
    earlier = all_by_itself(gradients[:-1], eta)
    return torch.vstack([earlier, gradients[-1] + eta * earlier[-1]])


def run(gradients, move):
    u, out = 0 * gradients[0], []
    for g in gradients:
        u = move(u, g)
        out.append(u)
    return torch.stack(out)


@wrong(NAME, "weighed with 1 − η")
def moving_average(gradients, eta):
    return run(gradients, lambda u, g: eta * u + (1 - eta) * g)


@wrong(NAME, "an average that starts with g_1")
def moving_average_from_the_first(gradients, eta):
    u, out = gradients[0], [gradients[0]]
    for g in gradients[1:]:
        u = torch.lerp(g, u, eta)
        out.append(u)
    return torch.stack(out)


@wrong(NAME, "as Adam does")
def moving_average_corrected(gradients, eta):
    u, out = torch.zeros_like(gradients[0]), []
    for step, g in enumerate(gradients, start=1):
        u = eta * u + (1 - eta) * g
        out.append(u / (1 - eta**step))
    return torch.stack(out)


@wrong(NAME, "η stands at the gradient")
def eta_on_the_other_term(gradients, eta):
    return run(gradients, lambda u, g: u + eta * g)


@wrong(NAME, "only the old buffer fades")
def eta_on_both(gradients, eta):
    return run(gradients, lambda u, g: eta * (u + g))


@wrong(NAME, "Nesterov")
def looking_ahead(gradients, eta):
    u, out = torch.zeros_like(gradients[0]), []
    for g in gradients:
        u = eta * u + g
        out.append(g + eta * u)
    return torch.stack(out)


@wrong(NAME, "Only the gradient just before")
def one_step_back(gradients, eta):
    earlier = torch.cat([gradients.new_zeros(1, gradients.shape[1]), gradients[:-1]])
    return gradients + eta * earlier


@wrong(NAME, "as they came")
def reset_in_the_loop(gradients, eta):
    out = []
    for g in gradients:
        u = torch.zeros_like(g)
        u = g + eta * u
        out.append(u)
    return torch.stack(out)


@wrong(NAME, "Nothing fades")
def running_sums(gradients, eta):
    return gradients.cumsum(dim=0)


@wrong(NAME, "own gradient is missing")
def only_what_was_there(gradients, eta):
    u, out = torch.zeros_like(gradients[0]), []
    for g in gradients:
        out.append(eta * u)
        u = g + eta * u
    return torch.stack(out)


@wrong(NAME, "kept before its gradient is in it")
def kept_too_early(gradients, eta):
    u, out = torch.zeros_like(gradients[0]), []
    for g in gradients:
        out.append(u)
        u = g + eta * u
    return torch.stack(out)


@wrong(NAME, "Time runs backwards")
def from_the_end(gradients, eta):
    return run(gradients.flip(0), lambda u, g: g + eta * u).flip(0)


@wrong(NAME, "count from the first gradient")
def discounted_from_the_start(gradients, eta):
    weights = torch.tensor([eta**i for i in range(len(gradients))], dtype=gradients.dtype)
    return (weights[:, None] * gradients).cumsum(0)


@wrong(NAME, "a step goes against it later")
def already_downhill(gradients, eta):
    return run(gradients, lambda u, g: eta * u - g)


@wrong(NAME, "old buffer is subtracted")
def alternates(gradients, eta):
    return run(gradients, lambda u, g: g - eta * u)


@wrong(NAME, "Only the last buffer is returned")
def the_last_alone(gradients, eta):
    u = torch.zeros_like(gradients[0])
    for g in gradients:
        u = g + eta * u
    return u


@wrong(NAME, "return one tensor (`torch.stack`")
def a_list(gradients, eta):
    return list(run(gradients, lambda u, g: g + eta * u))


@wrong(NAME, "in place")
def in_the_gradients(gradients, eta):
    for t in range(1, len(gradients)):
        gradients[t] += eta * gradients[t - 1]
    return gradients


@wrong(NAME, "is float32")
def powers_of_whole_numbers(gradients, eta):
    t = torch.arange(len(gradients))
    return (eta ** (t[:, None] - t)).tril().to(gradients.dtype) @ gradients


@wrong(NAME, "With η = 0")
def divides_by_powers(gradients, eta):
    powers = eta ** torch.arange(len(gradients), dtype=gradients.dtype)[:, None]
    return powers * (gradients / powers).cumsum(0)


@wrong(NAME, "calls `momentum_scan`")
def the_courses_scan(gradients, eta):
    from helpers.attention import momentum_scan

    return gradients + momentum_scan(gradients, eta)
