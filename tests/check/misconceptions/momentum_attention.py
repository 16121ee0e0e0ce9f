import math

import torch
from torch.nn.functional import scaled_dot_product_attention

from helpers.attention import softmax_attention

from . import right, wrong

NAME = "momentum_attention"


def earlier(v, eta):
    """Σ_{i<t} η^{t−i} v_i, token after token."""
    m, sums = torch.zeros_like(v[0]), []
    for value in v:
        sums.append(m)
        m = eta * (m + value)
    return torch.stack(sums)


@right(NAME)
def a_table_of_ages(q, k, v, eta):
    """The notebook's solution."""
    t = torch.arange(len(v), dtype=v.dtype)
    ages = t[:, None] - t
    weights = torch.where(ages > 0, eta**ages, 0.0)
    return softmax_attention(q, k, v) + weights @ v


@right(NAME)
def a_table_of_whole_numbers(q, k, v, eta):
    ages = torch.arange(len(v))[:, None] - torch.arange(len(v))
    powers = torch.tensor(eta, dtype=v.dtype) ** ages.clamp(min=0).to(v.dtype)
    return softmax_attention(q, k, v) + powers.masked_fill(ages <= 0, 0.0) @ v


@right(NAME)
def a_running_sum(q, k, v, eta):
    plain = scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]
    return plain + earlier(v, eta)


@right(NAME)
def every_pair_by_itself(q, k, v, eta):
    out = []
    for t in range(q.shape[0]):
        weights = torch.softmax(k[: t + 1] @ q[t] / math.sqrt(q.shape[1]), 0)
        row = sum(weights[i] * v[i] for i in range(t + 1))
        out.append(row + sum((eta ** (t - i) * v[i] for i in range(t)), start=torch.zeros_like(row)))
    return torch.stack(out)


@right(NAME)
def one_einsum_for_both(q, k, v, eta):
    scores = torch.einsum("td,id->ti", q, k) / q.shape[-1] ** 0.5
    weights = (scores + torch.full_like(scores, -torch.inf).triu(1)).softmax(-1)
    for age in range(1, len(v)):
        weights = weights + torch.diag(v.new_full((len(v) - age,), eta**age), -age)
    return torch.einsum("ti,im->tm", weights, v)


@right(NAME)
def zeros_where_masked_as_logarithms(q, k, v, eta):
    """η^age as exp(age log η), −inf where it must be 0, and −inf for η = 0 too."""
    t = torch.arange(len(v), dtype=v.dtype)
    logs = (t[:, None] - t) * torch.tensor(eta, dtype=v.dtype).log()
    return softmax_attention(q, k, v) + logs.masked_fill(t[:, None] <= t, -torch.inf).exp() @ v


@wrong(NAME, "Its own value is in the sum")
def own_value_too(q, k, v, eta):
    return softmax_attention(q, k, v) + torch.stack(
        [sum(eta ** (t - i) * v[i] for i in range(t + 1)) for t in range(len(v))]
    )


@wrong(NAME, "first keep the sum, then take the value")
def kept_after_the_update(q, k, v, eta):
    m, sums = torch.zeros_like(v[0]), []
    for value in v:
        m = eta * (m + value)
        sums.append(m)
    return softmax_attention(q, k, v) + torch.stack(sums)


@wrong(NAME, "one too low")
def the_last_buffer(q, k, v, eta):
    u, sums = torch.zeros_like(v[0]), []
    for value in v:
        sums.append(u)
        u = value + eta * u
    return softmax_attention(q, k, v) + torch.stack(sums)


@wrong(NAME, "one too high")
def faded_twice(q, k, v, eta):
    return softmax_attention(q, k, v) + eta * earlier(v, eta)


@wrong(NAME, "weighed with 1 − η")
def moving_average(q, k, v, eta):
    return softmax_attention(q, k, v) + (1 - eta) * earlier(v, eta)


@wrong(NAME, "divided by its weights' sum")
def weighted_mean_of_the_past(q, k, v, eta):
    out = []
    for t in range(len(v)):
        powers = torch.tensor([eta ** (t - i) for i in range(t)], dtype=v.dtype)
        out.append((powers / powers.sum()) @ v[:t] if t else torch.zeros_like(v[0]))
    return softmax_attention(q, k, v) + torch.stack(out)


@wrong(NAME, "It is the outputs that are summed")
def outputs_with_momentum(q, k, v, eta):
    plain, u, out = softmax_attention(q, k, v), 0.0, []
    for row in plain:
        u = row + eta * u
        out.append(u)
    return torch.stack(out)


@wrong(NAME, "in the values that the softmax weighs")
def values_with_momentum(q, k, v, eta):
    return softmax_attention(q, k, v + earlier(v, eta))


@wrong(NAME, "in the keys")
def keys_with_momentum(q, k, v, eta):
    return softmax_attention(q, k + earlier(k, eta), v)


@wrong(NAME, "ages are the wrong way round")
def oldest_weighs_most(q, k, v, eta):
    sums = [sum((eta ** (i + 1) * v[i] for i in range(t)), start=0 * v[0]) for t in range(len(v))]
    return softmax_attention(q, k, v) + torch.stack(sums)


@wrong(NAME, "count from the first token")
def powers_by_position(q, k, v, eta):
    powers = torch.tensor([eta**i for i in range(len(v))], dtype=v.dtype)[:, None]
    return softmax_attention(q, k, v) + (powers * v).cumsum(0) - powers * v


@wrong(NAME, "Nothing fades")
def all_earlier_values(q, k, v, eta):
    return softmax_attention(q, k, v) + torch.ones(len(v), len(v), dtype=v.dtype).tril(-1) @ v


@wrong(NAME, "Only the value just before")
def one_token_back(q, k, v, eta):
    return softmax_attention(q, k, v) + eta * torch.cat([torch.zeros_like(v[:1]), v[:-1]])


@wrong(NAME, "The sum has no mask")
def fades_both_ways(q, k, v, eta):
    t = torch.arange(len(v)).double()
    weights = eta ** (t[:, None] - t).abs()
    return softmax_attention(q, k, v) + weights.fill_diagonal_(0) @ v


@wrong(NAME, "Time runs backwards")
def values_to_come(q, k, v, eta):
    return softmax_attention(q, k, v) + earlier(v.flip(0), eta).flip(0)


@wrong(NAME, "The momentum is missing")
def softmax_alone(q, k, v, eta):
    return softmax_attention(q, k, v)


@wrong(NAME, "Softmax attention is missing")
def momentum_alone(q, k, v, eta):
    return earlier(v, eta)


@wrong(NAME, "The momentum is subtracted")
def against_it(q, k, v, eta):
    return softmax_attention(q, k, v) - earlier(v, eta)


@wrong(NAME, "among the softmax's weights")
def normalised_together(q, k, v, eta):
    n = len(v)
    scores = (q @ k.T / q.shape[1] ** 0.5).masked_fill(torch.ones(n, n).triu(1) == 1, -torch.inf)
    powers = torch.tensor([[eta ** (t - i) if i < t else 0.0 for i in range(n)] for t in range(n)], dtype=v.dtype)
    weights = scores.softmax(-1) + powers
    return weights / weights.sum(-1, keepdim=True) @ v


@wrong(NAME, "not divided by √d")
def forgot_the_root(q, k, v, eta):
    scores = (q @ k.T).masked_fill(torch.ones(len(q), len(q)).tril() == 0, -torch.inf)
    return scores.softmax(-1) @ v + earlier(v, eta)


@wrong(NAME, "There is no mask")
def attention_sees_the_future(q, k, v, eta):
    return scaled_dot_product_attention(q[None], k[None], v[None])[0] + earlier(v, eta)


@wrong(NAME, "With η = 0")
def masked_by_multiplying(q, k, v, eta):
    t = torch.arange(len(v), dtype=v.dtype)
    ages = t[:, None] - t
    return softmax_attention(q, k, v) + (eta**ages * (ages > 0)) @ v


@wrong(NAME, "is float32")
def powers_of_whole_numbers(q, k, v, eta):
    ages = torch.arange(len(v))[:, None] - torch.arange(len(v))
    weights = torch.where(ages > 0, float(eta) ** ages.clamp(min=0), 0.0).to(v.dtype)
    return softmax_attention(q, k, v) + weights @ v


@wrong(NAME, "calls `momentum_scan`")
def the_courses_scan(q, k, v, eta):
    from helpers.attention import momentum_scan

    return softmax_attention(q, k, v) + momentum_scan(v, eta)


@wrong(NAME, "calls `momentum_attention`")
def the_courses_own(q, k, v, eta):
    from helpers import attention

    return attention.momentum_attention(q, k, v, eta)
