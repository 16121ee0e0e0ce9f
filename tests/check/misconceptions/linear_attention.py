import torch

from . import right, wrong

NAME = "linear_attention"


@right(NAME)
def two_loops(q, k, v):
    out = torch.zeros(len(q), v.shape[1], dtype=q.dtype)
    for t in range(len(q)):
        for i in range(t + 1):
            out[t] += v[i] * torch.dot(k[i], q[t])
    return out


@right(NAME)
def running_sum_of_outer_products(q, k, v):
    states = torch.einsum("im,id->imd", v, k).cumsum(0)
    return torch.einsum("tmd,td->tm", states, q)


@right(NAME)
def mask_of_ones(q, k, v):
    return torch.mul(torch.einsum("td,id->ti", q, k), torch.ones(len(q), len(q), dtype=q.dtype).tril()).mm(v)


@wrong(NAME, "softmax is still in there")
def softmax_without_scale(q, k, v):
    return torch.stack([torch.softmax(k[: t + 1] @ q[t], 0) @ v[: t + 1] for t in range(len(q))])


@wrong(NAME, "This is softmax attention")
def nothing_dropped(q, k, v):
    return torch.stack([torch.softmax(k[: t + 1] @ q[t] / k.shape[1] ** 0.5, 0) @ v[: t + 1] for t in range(len(q))])


@wrong(NAME, "no mask")
def everything_at_once(q, k, v):
    return q @ (k.T @ v)


@wrong(NAME, "wrong way round")
def later_tokens(q, k, v):
    return torch.stack([(k[t:] @ q[t]) @ v[t:] for t in range(len(q))])


@wrong(NAME, "doesn't see itself")
def strictly_before(q, k, v):
    return torch.stack([(k[:t] @ q[t]) @ v[:t] for t in range(len(q))])


@wrong(NAME, "divided by √d")
def still_scaled(q, k, v):
    return torch.tril(q @ k.T / k.shape[-1] ** 0.5) @ v


@wrong(NAME, "number of tokens")
def a_mean(q, k, v):
    return torch.stack([((k[: t + 1] @ q[t])[:, None] * v[: t + 1]).mean(0) for t in range(len(q))])


@wrong(NAME, "changed places")
def keys_ask(q, k, v):
    return torch.stack([(q[: t + 1] @ k[t]) @ v[: t + 1] for t in range(len(q))])


@wrong(NAME, "shape")
def transposed(q, k, v):
    return (torch.tril(q @ k.T) @ v).T.clone()


@wrong(NAME, "torch.float32")
def mask_in_float32(q, k, v):
    return (torch.tril(q @ k.T) @ v).float()
