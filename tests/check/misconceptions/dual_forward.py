import torch

from . import right, wrong

NAME = "dual_forward"


@right(NAME)
def one_example_at_a_time(w0, errors, inputs, x):
    answer = w0 @ x
    for e, example in zip(errors, inputs, strict=True):
        answer = answer + e * torch.dot(example, x)
    return answer


@right(NAME)
def entries_times_entries(w0, errors, inputs, x):
    scores = (inputs * x).sum(-1, keepdim=True)
    return (w0 * x).sum(-1) + (errors * scores).sum(0)


@right(NAME)
def einsum_in_two_steps(w0, errors, inputs, x):
    scores = torch.einsum("nd,d->n", inputs, x)
    return torch.einsum("md,d->m", w0, x) + torch.einsum("n,nm->m", scores, errors)


@right(NAME)
def as_linear_attention(w0, errors, inputs, x):
    from helpers.attention import linear_attention

    keys = torch.cat([inputs, x[None]])
    values = torch.cat([errors, torch.zeros_like(errors[:1])])
    return linear_attention(x.expand_as(keys), keys, values)[-1] + w0.mv(x)


@right(NAME)
def one_long_product(w0, errors, inputs, x):
    """W₀'s rows are examples too: the unit vectors, with columns of W₀ as errors."""
    unit = torch.eye(len(x), dtype=x.dtype)
    return x @ torch.cat([unit, inputs]).T @ torch.cat([w0.T, errors])


@right(NAME)
def with_brackets(w0, errors, inputs, x):
    return w0 @ x + errors.T @ (inputs @ x)


@wrong(NAME, "forms ΔW on the way")
def without_brackets(w0, errors, inputs, x):
    return w0 @ x + errors.T @ inputs @ x


@wrong(NAME, "forms ΔW on the way")
def with_new_weights(w0, errors, inputs, x):
    from helpers.dual import weight_update

    return (w0 + weight_update(errors, inputs)) @ x


@wrong(NAME, "forms ΔW on the way")
def a_rank_one_matrix_at_a_time(w0, errors, inputs, x):
    answer = w0 @ x
    for e, example in zip(errors, inputs, strict=True):
        answer = answer + torch.outer(e, example) @ x
    return answer


@wrong(NAME, "W₀x is missing")
def only_the_change(w0, errors, inputs, x):
    return (inputs @ x) @ errors


@wrong(NAME, "training examples are missing")
def untrained(w0, errors, inputs, x):
    return w0 @ x


@wrong(NAME, "softmax is in there")
def attention_as_in_a_transformer(w0, errors, inputs, x):
    return w0 @ x + torch.softmax(inputs @ x, dim=0) @ errors


@wrong(NAME, "divided by √d")
def scaled_scores(w0, errors, inputs, x):
    return w0 @ x + (inputs @ x / x.numel() ** 0.5) @ errors


@wrong(NAME, "not a mean")
def mean_of_examples(w0, errors, inputs, x):
    return w0 @ x + (errors * (inputs @ x)[:, None]).mean(0)


@wrong(NAME, "The sign")
def subtracted(w0, errors, inputs, x):
    return w0 @ x - errors.T @ (inputs @ x)


@wrong(NAME, "compared with itself")
def lengths(w0, errors, inputs, x):
    return w0 @ x + sum(e * (example @ example) for e, example in zip(errors, inputs, strict=True))


@wrong(NAME, "Summed too early")
def totals(w0, errors, inputs, x):
    return w0 @ x + errors.sum(0) * (inputs.sum(0) @ x)


@wrong(NAME, "one by one: add them up")
def all_terms(w0, errors, inputs, x):
    return w0 @ x + errors * (inputs @ x)[:, None]


@wrong(NAME, "calls `contributions`")
def the_exercise_after_the_next(w0, errors, inputs, x):
    from helpers import dual

    return w0 @ x + dual.contributions(errors, inputs, x).sum(0)


@wrong(NAME, "This is softmax attention")
def softmax_over_scaled_comparisons(w0, errors, inputs, x):
    return w0 @ x + torch.softmax(inputs @ x / x.shape[0] ** 0.5, 0) @ errors
