import torch

from . import right, wrong

NAME = "first_order_update"


@right(NAME)
def centred_values(k, v):
    return torch.einsum("nm,nd->md", v - v.mean(0, keepdim=True), k) / len(k) / k.shape[-1] ** 0.5


@right(NAME)
def centred_keys(k, v):
    """It does not matter which of the two is centred."""
    return v.T @ (k - k.mean(0)) / (len(k) * k.shape[1] ** 0.5)


@right(NAME)
def both_centred(k, v):
    return (v - v.mean(0)).T @ (k - k.mean(0)) / (len(k) * k.shape[1] ** 0.5)


@right(NAME)
def a_covariance(k, v):
    together = torch.cov(torch.cat([v, k], 1).T, correction=0)
    return together[: v.shape[1], v.shape[1] :] / k.shape[1] ** 0.5


@right(NAME)
def the_derivative_of_softmax(k, v):
    """Of attention as a function of q, at q = 0."""
    return torch.autograd.functional.jacobian(
        lambda q: (k @ q / len(q) ** 0.5).softmax(0) @ v, torch.zeros(k.shape[1], dtype=k.dtype)
    )


@right(NAME)
def token_by_token(k, v):
    dw, mean = torch.zeros(v.shape[1], k.shape[1], dtype=v.dtype), v.sum(0) / len(v)
    for k_i, v_i in zip(k, v, strict=True):
        dw = dw + torch.outer(v_i - mean, k_i)
    return dw / len(k) / k.shape[1] ** 0.5


@wrong(NAME, "Scores enter uncentred")
def relaxed(k, v):
    return v.T @ k / len(k) / k.shape[1] ** 0.5


@wrong(NAME, "The 1/n of the weights is missing")
def a_sum(k, v):
    return (v - v.mean(0)).T @ k / k.shape[1] ** 0.5


@wrong(NAME, "the √d is missing")
def unscaled(k, v):
    return (v - v.mean(0)).T @ k / len(k)


@wrong(NAME, "Divided by d")
def by_the_width(k, v):
    return (v - v.mean(0)).T @ k / (len(k) * k.shape[1])


@wrong(NAME, "Divided by n − 1")
def torchs_covariance(k, v):
    together = torch.cov(torch.cat([v, k], 1).T)
    return together[: v.shape[1], v.shape[1] :] / k.shape[1] ** 0.5


@wrong(NAME, "runs over the tokens")
def mean_over_the_entries(k, v):
    return (v - v.mean(1)[:, None]).T @ k / (len(k) * k.shape[1] ** 0.5)


@wrong(NAME, "One mean for all entries")
def one_mean(k, v):
    return (v - v.sum() / v.numel()).T @ k / (len(k) * k.shape[1] ** 0.5)


@wrong(NAME, "The sign")
def mean_minus_value(k, v):
    return (v.mean(0) - v).T @ k / (len(k) * k.shape[1] ** 0.5)


@wrong(NAME, "only what is taken off")
def the_means_alone(k, v):
    return torch.outer(v.mean(0), k.mean(0)) / k.shape[1] ** 0.5


@wrong(NAME, "Added where it should be taken off")
def added(k, v):
    return (v + v.mean(0)).T @ k / (len(k) * k.shape[1] ** 0.5)


@wrong(NAME, "It is transposed")
def on_its_side(k, v):
    return k.T @ (v - v.mean(0)) / (len(k) * k.shape[1] ** 0.5)
