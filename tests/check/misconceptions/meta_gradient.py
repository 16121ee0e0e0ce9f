import torch

from . import right, wrong

NAME = "meta_gradient"


@right(NAME)
def one_token_at_a_time(w_v, w_k, demos):
    dw = torch.zeros(w_v.shape[0], w_k.shape[0], dtype=demos.dtype)
    for token in demos:
        dw = dw + torch.outer(w_v @ token, w_k @ token)
    return dw


@right(NAME)
def projected_at_the_end(w_v, w_k, demos):
    return w_v @ (demos.T @ demos) @ w_k.T


@right(NAME)
def einsum(w_v, w_k, demos):
    values, keys = torch.einsum("ie,me->im", demos, w_v), torch.einsum("ie,de->id", demos, w_k)
    return torch.einsum("im,id->md", values, keys)


@right(NAME)
def with_the_exercise_of_notebook_02(w_v, w_k, demos):
    from helpers import dual

    return dual.weight_update(torch.nn.functional.linear(demos, w_v), torch.nn.functional.linear(demos, w_k))


@right(NAME)
def the_state_of_the_recurrence(w_v, w_k, demos):
    from helpers.attention import recurrent_linear_attention

    keys = demos @ w_k.T
    return recurrent_linear_attention(keys, keys, demos @ w_v.T)[1]


@wrong(NAME, "changed places, or it is transposed")
def keys_first(w_v, w_k, demos):
    return (demos @ w_k.T).T @ (demos @ w_v.T)


@wrong(NAME, "The keys are missing")
def inputs_for_keys(w_v, w_k, demos):
    return w_v @ demos.T @ demos


@wrong(NAME, "The values are missing")
def inputs_for_values(w_v, w_k, demos):
    return demos.T @ demos @ w_k.T


@wrong(NAME, "projections are missing")
def no_projections(w_v, w_k, demos):
    return sum(torch.outer(x, x) for x in demos)


@wrong(NAME, "added up, over the tokens")
def one_matrix_each(w_v, w_k, demos):
    return torch.stack([torch.outer(w_v @ x, w_k @ x) for x in demos])


@wrong(NAME, "not a mean")
def averaged(w_v, w_k, demos):
    return torch.stack([torch.outer(w_v @ x, w_k @ x) for x in demos]).mean(0)


@wrong(NAME, "no scale")
def scaled(w_v, w_k, demos):
    return w_v @ demos.T @ demos @ w_k.T / w_k.shape[0] ** 0.5


@wrong(NAME, "The sign")
def as_if_it_were_a_gradient(w_v, w_k, demos):
    return -(w_v @ demos.T) @ (demos @ w_k.T)


@wrong(NAME, "Summed too early")
def totals(w_v, w_k, demos):
    return torch.outer(w_v @ demos.sum(0), w_k @ demos.sum(0))


@wrong(NAME, "Only the last token")
def overwritten(w_v, w_k, demos):
    for x in demos:
        dw = (w_v @ x)[:, None] * (w_k @ x)
    return dw


@wrong(NAME, "softmax")
def softmax_of_keys(w_v, w_k, demos):
    return w_v @ demos.T @ torch.softmax(demos @ w_k.T, dim=1)
