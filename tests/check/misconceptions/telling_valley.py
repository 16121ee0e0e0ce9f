import torch

from . import right, wrong

NAME = "telling_valley"


def steep(*shares):
    return torch.tensor(shares, dtype=torch.float64)


@right(NAME)
def wall_and_floor(lr, beta):
    """The notebook's solution."""
    return torch.tensor([2.0, 0.1 * (1 - beta)], dtype=torch.float64) / lr


@right(NAME)
def where_momentum_is_best(lr, beta):
    """All that is between these two fades by √β a step."""
    root = beta**0.5
    return steep((1 - root) ** 2, (1 + root) ** 2) * 0.99 / lr


@right(NAME)
def many_directions(lr, beta):
    return steep(2.0, 1.0, 0.3, 0.2 * (1 - beta), 0.1 * (1 - beta)) / lr


@right(NAME)
def nearly_as_steep_as_it_stands(lr, beta):
    return torch.tensor([1.9 * (1 + beta), 0.12 * (1 - beta)]).double().div(lr)


@right(NAME)
def found_by_trying(lr, beta):
    """Flatter and flatter, until the best of some plain rates is far behind."""

    def left(h, rate, beta):
        w = before = torch.ones_like(h)
        for _ in range(100):
            w, before = w - rate * h * w + beta * (w - before), w
        return (h * w * w).sum() / h.sum()

    for flat in (0.3, 0.1, 0.03, 0.01):
        h = steep(2.0, flat) / lr
        plain = min(left(h, 2 / (h.max() + share * h.min()), 0.0) for share in (0.2, 0.5, 1.0, 2.0))
        if left(h, lr, beta) < min(1e-3 * plain, 1e-3):
            return h
    return h


@wrong(NAME, "All directions are equally steep")
def round_valley(lr, beta):
    return steep(1.0, 1.0, 1.0) / lr


@wrong(NAME, "All directions are equally steep")
def where_plain_leaps_for_ever(lr, beta):
    """One direction: the given rate fails there, a smaller one is at the floor in one step."""
    return steep(2.0) / lr


@wrong(NAME, "All directions are equally steep")
def where_the_larger_step_is_best(lr, beta):
    return steep(1 - beta) / lr


@wrong(NAME, "momentum itself diverges")
def too_steep(lr, beta):
    return steep(2.1 * (1 + beta), 0.1) / lr


@wrong(NAME, "momentum itself diverges")
def steep_for_the_larger_rate(lr, beta):
    """Rate lr/(1 − β) in place of lr."""
    return steep(2 / (1 - beta), 0.1) * 2 / lr


@wrong(NAME, "still on its way")
def too_flat(lr, beta):
    return steep(0.001, 0.0001) / lr


@wrong(NAME, "larger plain step does as well")
def gentle(lr, beta):
    """All gradients agree: momentum is a larger step, and a larger step is as good."""
    return steep(0.4 * (1 - beta), 0.3 * (1 - beta)) / lr


@wrong(NAME, "no larger does as well")
def steep_all_over(lr, beta):
    return steep(2.2, 2.0) / lr


@wrong(NAME, "must be above 0")
def a_ridge(lr, beta):
    return steep(2.0, -0.1) / lr


@wrong(NAME, "must be above 0")
def a_ditch(lr, beta):
    return steep(2.0, 0.0) / lr


@wrong(NAME, "must be a tensor")
def listed_nothing(lr, beta):
    return {"steep": 2 / lr, "flat": 0.1 / lr}


@wrong(NAME, "2 things: return one tensor")
def two_numbers(lr, beta):
    return 2 / lr, 0.1 * (1 - beta) / lr


@wrong(NAME, "is torch.float32")
def in_float32(lr, beta):
    return torch.tensor([2 / lr, 0.1 * (1 - beta) / lr])


@wrong(NAME, "has shape [2, 2]")
def a_matrix(lr, beta):
    return torch.diag(steep(2.0, 0.1 * (1 - beta)) / lr)
