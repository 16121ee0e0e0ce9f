import torch

from . import right, wrong

NAME = "weight_update"


@right(NAME)
def outer_products_in_a_loop(errors, inputs):
    total = torch.zeros(errors.shape[1], inputs.shape[1], dtype=errors.dtype)
    for e, x in zip(errors, inputs, strict=True):
        total = total + torch.outer(e, x)
    return total


@right(NAME)
def einsum(errors, inputs):
    return torch.einsum("im,id->md", errors, inputs)


@right(NAME)
def broadcast_and_sum(errors, inputs):
    return (errors.unsqueeze(2) * inputs.unsqueeze(1)).sum(dim=0)


@right(NAME)
def entry_by_entry(errors, inputs):
    rows = [[(errors[:, i] * inputs[:, j]).sum() for j in range(inputs.shape[1])] for i in range(errors.shape[1])]
    return torch.stack([torch.stack(row) for row in rows])


@right(NAME)
def by_autograd(errors, inputs):
    with torch.enable_grad():
        w = torch.zeros(errors.shape[1], inputs.shape[1], dtype=errors.dtype, requires_grad=True)
        (errors * (inputs @ w.T)).sum().backward()
    return w.grad


@wrong(NAME, "is transposed")
def inputs_first(errors, inputs):
    return inputs.T @ errors


@wrong(NAME, "not a mean")
def averaged(errors, inputs):
    return torch.stack([torch.outer(e, x) for e, x in zip(errors, inputs, strict=True)]).mean(0)


@wrong(NAME, "still have to be added up")
def one_matrix_each(errors, inputs):
    return errors[:, :, None] * inputs[:, None, :]


@wrong(NAME, "The sign")
def downhill_twice(errors, inputs):
    return -torch.einsum("im,id->md", errors, inputs)


@wrong(NAME, "Only the last example")
def overwritten(errors, inputs):
    for e, x in zip(errors, inputs, strict=True):
        dw = e[:, None] * x[None, :]
    return dw


@wrong(NAME, "Only the first example")
def returns_inside_the_loop(errors, inputs):
    for e, x in zip(errors, inputs, strict=True):
        return e[:, None] * x


@wrong(NAME, "Summed too early")
def totals(errors, inputs):
    return torch.outer(errors.sum(0), inputs.sum(0))


@wrong(NAME, "calls `meta_gradient`")
def a_later_name_for_it(errors, inputs):
    from helpers.dual import meta_gradient

    one, other = (torch.eye(x.shape[1], dtype=x.dtype) for x in (errors, inputs))
    both = torch.cat([errors, inputs], 1)
    pads = torch.zeros(len(one), len(other), dtype=one.dtype)
    return meta_gradient(torch.cat([one, pads], 1), torch.cat([pads.T, other], 1), both)
