import torch
from torch.nn import functional as F

from . import right, wrong

NAME = "normalized_linear_attention"


def mean(weights, v):
    weights = weights.tril()
    return weights @ v / weights.sum(1, keepdim=True)


def phi(x):
    return torch.where(x > 0, x + 1, x.exp())


@right(NAME)
def by_hand(q, k, v):
    return mean(phi(q) @ phi(k).T, v)


@right(NAME)
def two_running_sums(q, k, v):
    a, b = F.elu(q) + 1, F.elu(k) + 1
    state = torch.einsum("im,id->imd", v, b).cumsum(0)
    total = b.cumsum(0)
    return torch.einsum("tmd,td->tm", state, a) / (total * a).sum(-1, keepdim=True)


@right(NAME)
def a_column_of_ones(q, k, v):
    from helpers.attention import linear_attention

    both = linear_attention(phi(q), phi(k), torch.cat([v, torch.ones(len(v), 1, dtype=v.dtype)], 1))
    return both[:, :-1] / both[:, -1:]


@wrong(NAME, "division is missing")
def sums(q, k, v):
    return (phi(q) @ phi(k).T).tril() @ v


@wrong(NAME, "φ is missing")
def raw_scores(q, k, v):
    return mean(q @ k.T, v)


@wrong(NAME, "+ 1 is missing")
def only_elu(q, k, v):
    return mean(F.elu(q) @ F.elu(k).T, v)


@wrong(NAME, "not on their product")
def phi_of_the_score(q, k, v):
    return mean(phi(q @ k.T), v)


@wrong(NAME, "only on k")
def keys_alone(q, k, v):
    return mean(q @ phi(k).T, v)


@wrong(NAME, "only on q")
def queries_alone(q, k, v):
    return mean(phi(q) @ k.T, v)


@wrong(NAME, "not relu")
def relu(q, k, v):
    return mean((F.relu(q) + 1) @ (F.relu(k) + 1).T, v)


@wrong(NAME, "no mask")
def sees_the_future(q, k, v):
    a, b = phi(q), phi(k)
    return a @ (b.T @ v) / (a @ b.sum(0))[:, None]


@wrong(NAME, "over all tokens")
def divided_by_everything(q, k, v):
    a, b = phi(q), phi(k)
    return (a @ b.T).tril() @ v / (a @ b.sum(0))[:, None]


@wrong(NAME, "number of tokens")
def plain_mean(q, k, v):
    return torch.stack([((phi(k[: t + 1]) @ phi(q[t]))[:, None] * v[: t + 1]).mean(0) for t in range(len(q))])


@wrong(NAME, "wrong dimension")
def columns(q, k, v):
    weights = (phi(q) @ phi(k).T).tril()
    return weights / weights.sum(0, keepdim=True) @ v


@wrong(NAME, "takes the place of exp")
def softmax_after_all(q, k, v):
    return torch.stack([torch.softmax(k[: t + 1] @ q[t] / k.shape[1] ** 0.5, 0) @ v[: t + 1] for t in range(len(q))])
