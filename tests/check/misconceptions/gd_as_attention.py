import torch

from . import right, wrong

NAME = "gd_as_attention"


def blocks(w0, rate_in_p, from_x, from_y, looks_at_y=0.0):
    """A layer whose values' y part is from_x x + from_y y, and whose P is a multiple of the identity."""
    m, d = w0.shape
    eye, zeros = torch.eye(m, dtype=w0.dtype), torch.zeros(d, d + m, dtype=w0.dtype)
    looks = torch.diag(torch.tensor([1.0] * d + [looks_at_y] * m, dtype=w0.dtype))
    values = torch.cat([zeros, torch.cat([from_x, from_y * eye], 1)])
    return {"w_q": looks, "w_k": looks, "w_v": values, "p": rate_in_p * torch.eye(d + m, dtype=w0.dtype)}


@right(NAME)
def the_papers_way(w0, lr):
    return blocks(w0, lr, w0, -1)


@right(NAME)
def the_rate_in_the_values(w0, lr):
    return blocks(w0, 1.0, lr * w0, -lr)


@right(NAME)
def the_minus_in_p(w0, lr):
    return blocks(w0, -lr, -w0, 1)


@right(NAME)
def the_rate_in_the_query(w0, lr):
    layer = blocks(w0, -1.0, -w0, 1)
    return layer | {"w_q": lr * layer["w_q"], "w_k": torch.eye(len(layer["w_k"]), dtype=w0.dtype)}


@right(NAME)
def another_basis(w0, lr):
    """Keys and queries turned against each other, values in a basis of their own that P undoes."""
    layer = blocks(w0, lr, w0, -1)
    size = len(layer["p"])
    rng = torch.Generator().manual_seed(5)
    a, b = (torch.randn(size, size, generator=rng, dtype=w0.dtype) + 3 * torch.eye(size).double() for _ in range(2))
    return {
        "w_q": torch.linalg.inv(a).T @ layer["w_q"],
        "w_k": a @ layer["w_k"],
        "w_v": b @ layer["w_v"],
        "p": layer["p"] @ torch.linalg.inv(b),
    }


@right(NAME)
def values_moved_to_the_front(w0, lr):
    """The miss is carried in the first m entries, and P brings it down; what P does to x is nobody's business."""
    m, d = w0.shape
    values, p = (torch.zeros(d + m, d + m, dtype=w0.dtype) for _ in range(2))
    values[:m] = torch.cat([w0, -torch.eye(m)], 1)
    p[d:, :m] = lr * torch.eye(m, dtype=w0.dtype)
    p[:d, :m] = 0.5
    looks = torch.block_diag(torch.eye(d), torch.zeros(m, m)).double()
    return {"w_q": looks, "w_k": looks, "w_v": values, "p": p, "note": "extra entries do no harm"}


@right(NAME)
def loops(w0, lr):
    m, d = w0.shape
    layer = {name: w0.new_zeros(d + m, d + m) for name in ("w_q", "w_k", "w_v", "p")}
    for i in range(d):
        layer["w_q"][i, i] = layer["w_k"][i, i] = 1
    for i in range(m):
        layer["p"][d + i, d + i] = lr
        layer["w_v"][d + i, d + i] = -1
        for j in range(d):
            layer["w_v"][d + i, j] = w0[i, j]
    return layer


@wrong(NAME, "The sign")
def misses_as_they_are(w0, lr):
    return blocks(w0, lr, -w0, 1)


@wrong(NAME, "The sign")
def minus_twice(w0, lr):
    return blocks(w0, -lr, w0, -1)


@wrong(NAME, "The values are y_j as they stand")
def reads_targets(w0, lr):
    return blocks(w0, lr, torch.zeros_like(w0), 1)


@wrong(NAME, "W₀ is missing from the values")
def starts_from_zero(w0, lr):
    return blocks(w0, lr, torch.zeros_like(w0), -1)


@wrong(NAME, "W₀ is missing from the values")
def values_on_their_side(w0, lr):
    layer = blocks(w0, lr, w0, -1)
    return layer | {"w_v": layer["w_v"].T.clone()}


@wrong(NAME, "W₀ has the wrong sign")
def both_minus(w0, lr):
    return blocks(w0, lr, -w0, -1)


@wrong(NAME, "y_j is missing")
def no_targets(w0, lr):
    return blocks(w0, lr, w0, 0)


@wrong(NAME, "rate is missing")
def rate_one(w0, lr):
    return blocks(w0, 1.0, w0, -1)


@wrong(NAME, "acts twice")
def rate_in_both(w0, lr):
    return blocks(w0, lr, lr * w0, -lr)


@wrong(NAME, "compared by their y part too")
def looks_at_all_of_a_token(w0, lr):
    return blocks(w0, lr, w0, -1, looks_at_y=1.0)


@wrong(NAME, "w_q, w_k must look at x alone.")
def looks_at_the_wrong_half(w0, lr):
    m, d = w0.shape
    layer = blocks(w0, lr, w0, -1)
    looks = torch.eye(d + m, dtype=w0.dtype) - layer["w_q"]
    return layer | {"w_q": looks, "w_k": looks}


@wrong(NAME, "leaves the query's y part as it was")
def moves_x_instead(w0, lr):
    layer = blocks(w0, lr, w0, -1)
    layer["p"][w0.shape[1] :] = 0
    return layer


@wrong(NAME, "has no 'p'")
def three_matrices(w0, lr):
    layer = blocks(w0, 1.0, lr * w0, -lr)
    del layer["p"]
    return layer


@wrong(NAME, "A dict of w_q, w_k, w_v, p is asked for")
def a_tuple(w0, lr):
    return tuple(blocks(w0, lr, w0, -1).values())


@wrong(NAME, "`w_q` has shape")
def looks_in_d_dimensions(w0, lr):
    d = w0.shape[1]
    return blocks(w0, lr, w0, -1) | {"w_q": torch.eye(d).double(), "w_k": torch.eye(d).double()}


@wrong(NAME, "`p` must be a tensor")
def a_number_for_p(w0, lr):
    return blocks(w0, lr, w0, -1) | {"p": lr}


@wrong(NAME, "`w_q` is torch.float32")
def default_dtype(w0, lr):
    return {name: matrix.float() for name, matrix in blocks(w0, lr, w0, -1).items()}


@wrong(NAME, "Stay in float64")
def a_rate_rounded_to_float32(w0, lr):
    layer = blocks(w0, 1.0, w0, -1)
    layer["p"][:] = lr * torch.eye(len(layer["p"]))
    return layer


@wrong(NAME, "calls `gd_as_attention`")
def the_courses_own(w0, lr):
    from helpers import regression

    return regression.gd_as_attention(w0, lr)
