import torch

from . import right, wrong

NAME = "contributions"


@right(NAME)
def one_example_at_a_time(errors, inputs, x):
    return torch.stack([e * torch.dot(example, x) for e, example in zip(errors, inputs, strict=True)])


@right(NAME)
def einsum(errors, inputs, x):
    return torch.einsum("nm,nd,d->nm", errors, inputs, x)


@right(NAME)
def a_diagonal_of_comparisons(errors, inputs, x):
    return torch.diag(inputs @ x) @ errors


@right(NAME)
def each_alone_in_the_dual_form(errors, inputs, x):
    from helpers.dual import dual_forward

    nothing = torch.zeros(errors.shape[1], len(x), dtype=x.dtype)
    pairs = zip(errors.split(1), inputs.split(1), strict=True)
    return torch.stack([dual_forward(nothing, e, example, x) for e, example in pairs])


@right(NAME)
def each_examples_own_update(errors, inputs, x):
    return (errors[:, :, None] * inputs[:, None, :]) @ x


@wrong(NAME, "added up already")
def summed(errors, inputs, x):
    return errors.T @ (inputs @ x)


@wrong(NAME, "a row for each example")
def columns(errors, inputs, x):
    return errors.T * (inputs @ x)


@wrong(NAME, "share in each of the m outputs")
def comparisons_only(errors, inputs, x):
    return inputs @ x


@wrong(NAME, "summed over d")
def not_compared_to_the_end(errors, inputs, x):
    return errors[:, :, None] * (inputs * x)[:, None, :]


@wrong(NAME, "comparison is missing")
def errors_only(errors, inputs, x):
    return errors.clone()


@wrong(NAME, "sign is lost")
def sizes(errors, inputs, x):
    return (errors * (inputs @ x).unsqueeze(-1)).abs()


@wrong(NAME, "softmax is in there")
def weights_of_attention(errors, inputs, x):
    return errors * torch.softmax(inputs @ x, -1)[:, None]


@wrong(NAME, "not a cosine")
def cosines(errors, inputs, x):
    return errors * torch.cosine_similarity(inputs, x[None], dim=-1)[:, None]


@wrong(NAME, "divided by √d")
def scaled(errors, inputs, x):
    return errors * ((inputs @ x) / len(x) ** 0.5)[:, None]


@wrong(NAME, "compared with itself")
def leverage(errors, inputs, x):
    return errors * torch.einsum("nd,nd->n", inputs, inputs)[:, None]


@wrong(NAME, "number of examples")
def of_the_mean(errors, inputs, x):
    return errors * (inputs @ x)[:, None] / errors.shape[0]


@wrong(NAME, "not to one")
def percentages(errors, inputs, x):
    shares = errors * (inputs @ x)[:, None]
    return shares / shares.sum(0, keepdim=True)


@wrong(NAME, "its own x_i·x")
def one_comparison_for_all(errors, inputs, x):
    return errors * (inputs.sum(0) @ x)


@wrong(NAME, "added up on the way")
def running(errors, inputs, x):
    rows, total = [], 0
    for e, example in zip(errors, inputs, strict=True):
        total = total + e * (example @ x)
        rows.append(total)
    return torch.stack(rows)
