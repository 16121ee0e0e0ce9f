import math

import torch

from . import right, wrong

NAME = "softmax_attention"


@right(NAME)
def one_token_after_another(q, k, v):
    rows = []
    for t in range(len(q)):
        weights = torch.softmax(k[: t + 1] @ q[t] / math.sqrt(q.shape[1]), dim=0)
        rows.append(weights @ v[: t + 1])
    return torch.stack(rows)


@right(NAME)
def exponentials_by_hand(q, k, v):
    scores = torch.einsum("td,id->ti", q, k) * q.shape[-1] ** -0.5
    scores = scores + torch.full_like(scores, -torch.inf).triu(1)
    powers = (scores - scores.max(dim=1, keepdim=True).values).exp()
    return torch.einsum("ti,im->tm", powers / powers.sum(1, keepdim=True), v)


@right(NAME)
def scaled_queries_and_a_large_negative_number(q, k, v):
    keep = torch.arange(len(q))[:, None] >= torch.arange(len(k))[None, :]
    return torch.softmax(torch.where(keep, (q / math.sqrt(k.size(1))) @ k.transpose(0, 1), -1e30), -1) @ v


@wrong(NAME, "not divided by √d")
def forgot_the_root(q, k, v):
    n = q.shape[0]
    mask = torch.tril(torch.ones(n, n)).bool()
    return (q @ k.T).masked_fill(~mask, -torch.inf).softmax(dim=-1) @ v


@wrong(NAME, "divided by d, not by √d")
def forgot_the_square_root_sign(q, k, v):
    rows = [torch.softmax(k[: t + 1] @ q[t] / q.shape[1], 0) @ v[: t + 1] for t in range(len(q))]
    return torch.stack(rows)


@wrong(NAME, "Divided by √n")
def root_of_the_length(q, k, v):
    rows = [torch.softmax(k[: t + 1] @ q[t] / math.sqrt(q.shape[0]), 0) @ v[: t + 1] for t in range(len(q))]
    return torch.stack(rows)


@wrong(NAME, "no mask")
def sees_the_future(q, k, v):
    return torch.softmax(q.matmul(k.t()) / math.sqrt(q.shape[-1]), dim=1) @ v


@wrong(NAME, "wrong way round")
def sees_only_the_future(q, k, v):
    rows = [torch.softmax(k[t:] @ q[t] / math.sqrt(q.shape[1]), 0) @ v[t:] for t in range(len(q))]
    return torch.stack(rows)


@wrong(NAME, "after the softmax")
def masked_too_late(q, k, v):
    weights = torch.softmax(q @ k.T / q.shape[-1] ** 0.5, dim=-1)
    for t in range(len(q)):
        weights[t, t + 1 :] = 0
    return weights @ v


@wrong(NAME, "Masked with 0")
def multiplied_by_the_mask(q, k, v):
    mask = torch.tril(torch.ones(len(q), len(q), dtype=q.dtype))
    return torch.softmax(q @ k.T / q.shape[-1] ** 0.5 * mask, dim=-1) @ v


@wrong(NAME, "wrong dimension")
def columns_sum_to_one(q, k, v):
    scores = q @ k.T / q.shape[-1] ** 0.5
    scores[torch.triu(torch.ones(len(q), len(q)), 1) == 1] = -torch.inf
    return torch.softmax(scores, dim=0) @ v


@wrong(NAME, "softmax is missing")
def raw(q, k, v):
    return (q @ k.T / q.shape[-1] ** 0.5).tril() @ v


@wrong(NAME, "changed places")
def keys_ask(q, k, v):
    rows = [torch.softmax(q[: t + 1] @ k[t] / math.sqrt(q.shape[1]), 0) @ v[: t + 1] for t in range(len(q))]
    return torch.stack(rows)


@wrong(NAME, "overflows")
def naive_exponentials(q, k, v):
    powers = (q @ k.T / q.shape[-1] ** 0.5).exp().tril()
    return powers / powers.sum(-1, keepdim=True) @ v


@wrong(NAME, "`scaled_dot_product_attention`")
def torch_does_it(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
