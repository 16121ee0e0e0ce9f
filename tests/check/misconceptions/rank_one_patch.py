import torch

from . import right, wrong

NAME = "rank_one_patch"


@right(NAME)
def broadcast(w, before, after):
    moved = w @ after - w @ before
    return moved[:, None] * before[None, :] / before.pow(2).sum()


@right(NAME)
def a_projection(w, before, after):
    unit = before / before.norm()
    return torch.outer(w @ (after - before), unit) / before.norm()


@right(NAME)
def least_norm_by_pseudoinverse(w, before, after):
    return (w @ (after - before))[:, None] @ torch.linalg.pinv(before[:, None])


@right(NAME)
def one_gradient_step(w, before, after):
    """The patch is a step (eq. 2.2) on the one example (before, W after), at the rate that settles it."""
    from helpers.dual import gradient_step

    rate = 1 / (before @ before).item()
    return gradient_step(w, before[None], (w @ after)[None], rate)[1] - w


@right(NAME)
def entry_by_entry(w, before, after):
    dw = torch.zeros_like(w)
    for i in range(len(w)):
        for j in range(len(before)):
            dw[i, j] = sum(w[i] * (after - before)) * before[j] / sum(before * before)
    return dw


@right(NAME)
def einsum(w, before, after):
    return torch.einsum("me,e,d->md", w, after - before, before / torch.dot(before, before))


@wrong(NAME, "The sign")
def the_way_back(w, before, after):
    return torch.outer(w @ (before - after), before) / (before @ before)


@wrong(NAME, "These are the new weights")
def patched(w, before, after):
    return w + torch.outer(w @ (after - before), before) / (before @ before)


@wrong(NAME, "not by its square")
def by_the_length(w, before, after):
    return torch.outer(w @ (after - before), before / before.norm())


@wrong(NAME, "Divided by ‖after‖²")
def by_the_other_length(w, before, after):
    return torch.outer(w @ (after - before), before) / after.square().sum()


@wrong(NAME, "division is missing")
def undivided(w, before, after):
    return torch.outer(w @ (after - before), before)


@wrong(NAME, "not all of W after")
def all_of_it(w, before, after):
    return torch.outer(w @ after, before) / (before @ before)


@wrong(NAME, "second factor is `before`, not `after`")
def listens_to_after(w, before, after):
    return torch.outer(w @ (after - before), after) / (before @ before)


@wrong(NAME, "both those of `before`")
def after_throughout(w, before, after):
    return torch.outer(w @ (after - before), after) / (after @ after)


@wrong(NAME, "It works")
def works_along_after(w, before, after):
    return torch.outer(w @ (after - before), after) / (after @ before)


@wrong(NAME, "It works")
def works_along_the_first_axis(w, before, after):
    dw = torch.zeros_like(w)
    dw[:, 0] = w @ (after - before) / before[0]
    return dw


@wrong(NAME, "It works")
def works_by_turning(w, before, after):
    """W times a map that takes before to after, and is the identity on what is perpendicular to (1, 1, …)."""
    ones = torch.ones_like(before)
    turn = torch.outer(after - before, ones) / before.sum()
    return w @ turn


@wrong(NAME, "transposed")
def on_its_side(w, before, after):
    return torch.outer(before, w @ (after - before)) / (before @ before)


@wrong(NAME, "W is missing")
def without_w(w, before, after):
    return torch.outer(after - before, before) / (before @ before)


@wrong(NAME, "This is a vector")
def only_what_is_missing(w, before, after):
    return w @ (after - before)


@wrong(NAME, "changed places")
def the_other_way(w, before, after):
    return torch.outer(w @ (before - after), after) / after.dot(after)
