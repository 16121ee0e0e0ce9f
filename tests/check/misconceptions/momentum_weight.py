import torch

from . import right, wrong

NAME = "momentum_weight"


@right(NAME)
def geometric(ages, eta):
    """The notebook's solution."""
    return (1 - eta ** (ages + 1)) / (1 - eta)


@right(NAME)
def from_what_is_still_to_come(ages, eta):
    """The whole sum without its tail."""
    return 1 / (1 - eta) - eta ** (ages + 1) / (1 - eta)


@right(NAME)
def term_by_term(ages, eta):
    powers = eta ** torch.arange(int(ages.max()) + 1, dtype=ages.dtype)
    return powers.cumsum(0)[ages.long()]


@right(NAME)
def by_descent(ages, eta):
    """One pair alone, 1 ⊗ 1, read a steps later."""
    found = []
    for age in ages:
        u, s = 1.0, 1.0
        for _ in range(int(age)):
            u = eta * u
            s = s + u
        found.append(s)
    return torch.tensor(found, dtype=torch.float64)


@wrong(NAME, "in the last buffer alone")
def the_buffer(ages, eta):
    return torch.tensor([eta**a for a in ages.tolist()], dtype=torch.float64)


@wrong(NAME, "weights of MoAttn")
def of_the_paper(ages, eta):
    return torch.where(ages == 0, torch.zeros_like(ages), eta**ages)


@wrong(NAME, "One term too few")
def a_terms(ages, eta):
    return torch.stack([sum((eta**k for k in range(int(a))), torch.tensor(0.0).double()) for a in ages])


@wrong(NAME, "One term too many")
def two_steps_on(ages, eta):
    return (1 - eta ** (ages + 2)) / (1 - eta)


@wrong(NAME, "own step is missing")
def later_steps_alone(ages, eta):
    return eta * (1 - eta**ages) / (1 - eta)


@wrong(NAME, "begins with η⁰")
def from_eta_on(ages, eta):
    return (eta - eta ** (ages + 2)) / (1 - eta)


@wrong(NAME, "division by 1 − η is missing")
def undivided(ages, eta):
    return 1 - eta * eta**ages


@wrong(NAME, "The sign")
def upside_down(ages, eta):
    return (eta ** (ages + 1) - 1) / (1 - eta)


@wrong(NAME, "signs alternate")
def divided_by_the_other(ages, eta):
    return (1 - eta ** (ages + 1)) / (1 + eta)


@wrong(NAME, "what all ages tend to")
def without_end(ages, eta):
    return torch.full_like(ages, 1 / (1 - eta))


@wrong(NAME, "Nothing fades")
def counted(ages, eta):
    return ages + 1.0


@wrong(NAME, "steps between")
def first_and_last(ages, eta):
    return 1 + eta**ages


@wrong(NAME, "of type float")
def one_number(ages, eta):
    return float(1 / (1 - eta))
