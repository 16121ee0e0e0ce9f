"""The paper's four measurements by their official definitions, what chance makes of them, and intervals.

Dai et al. (2022), section 4; zsl, icl, ft stand for zero-shot, in context, finetuned. What is measured at every query
is averaged over the queries; the values before the average go into `bootstrap_interval`. Undefined is nan.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor


def rec2ftp_counts(zsl_right: Bool[Tensor, " n"], icl_right: Bool[Tensor, " n"], ft_right: Bool[Tensor, " n"]) -> tuple:
    """Of the queries that finetuning fixed, how many the prompt fixed too: `(hits, fixed)`."""
    fixed = ~zsl_right & ft_right
    return int((fixed & icl_right).sum()), int(fixed.sum())


def rec2ftp(zsl_right: Bool[Tensor, " n"], icl_right: Bool[Tensor, " n"], ft_right: Bool[Tensor, " n"]) -> float:
    """(eq. 4.3): recall of in-context learning to finetuning's predictions; nan where finetuning fixed nothing."""
    hits, fixed = rec2ftp_counts(zsl_right, icl_right, ft_right)
    return hits / fixed if fixed else float("nan")


def chance_rec2ftp(zsl_right: Bool[Tensor, " n"], icl_right: Bool[Tensor, " n"]) -> float:
    """What Rec2FTP would be if the prompt knew nothing of finetuning: its share of what zero-shot has wrong."""
    return rec2ftp(zsl_right, icl_right, torch.ones_like(zsl_right))


def cosine(a: Float[Tensor, "*shape d"], b: Float[Tensor, "*shape d"]) -> Float[Tensor, "*shape"]:
    """Cosine over the last dimension; nan where either is zero."""
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def aou_cosines(
    icl: Float[Tensor, "n layers d"],
    ft: Float[Tensor, "n layers d"],
    zsl: Float[Tensor, "n layers d"],
    normalize: bool = True,
) -> Float[Tensor, "n layers"]:
    """Cosine of the two updates of attention's output; each output brought to length 1 before the differences.

    `normalize=False` leaves the lengths: the raw form of Deutch et al. (2311.07772).
    """
    if normalize:
        icl, ft, zsl = (h / h.norm(dim=-1, keepdim=True) for h in (icl, ft, zsl))
    return cosine(icl - zsl, ft - zsl)


def sim_aou(
    icl: Float[Tensor, "n layers d"],
    ft: Float[Tensor, "n layers d"],
    zsl: Float[Tensor, "n layers d"],
    normalize: bool = True,
) -> Float[Tensor, " layers"]:
    """(eq. 4.4): similarity of attention output updates: mean over queries of `aou_cosines`."""
    return aou_cosines(icl, ft, zsl, normalize).mean(0)


def noise_sim_aou(rho_icl: float | Tensor, rho_ft: float | Tensor) -> float | Tensor:
    """(eq. 4.5): normalised `sim_aou` of two independent random updates, `rho` times as long as what they update.

    ½ √((1 − a)(1 − a')), a = 1/√(1 + ρ²), in high dimension: all of it comes from normalising before the difference.
    """
    a, b = (1 / (1 + rho**2) ** 0.5 for rho in (rho_icl, rho_ft))
    return 0.5 * ((1 - a) * (1 - b)) ** 0.5


def am_cosines(
    a: Float[Tensor, "n layers heads tokens"], b: Float[Tensor, "n layers heads tokens"]
) -> Float[Tensor, "n layers"]:
    """Cosine of two attention maps before softmax, mean over heads."""
    return cosine(a, b).mean(-1)


def sim_am(
    a: Float[Tensor, "n layers heads tokens"], b: Float[Tensor, "n layers heads tokens"]
) -> Float[Tensor, " layers"]:
    """(eq. 4.6): similarity of attention maps: mean over queries of `am_cosines`."""
    return am_cosines(a, b).mean(0)


def kendall_taus(
    icl: Float[Tensor, "n layers tokens"], ft: Float[Tensor, "n layers tokens"]
) -> Float[Tensor, "n layers"]:
    """Kendall's τ of two orders of the same tokens; nan where one of them is constant."""
    pairs = zip(icl.flatten(0, 1).numpy(), ft.flatten(0, 1).numpy(), strict=True)
    taus = [stats.kendalltau(a, b, method="asymptotic").statistic for a, b in pairs]
    return torch.tensor(taus, dtype=icl.dtype).reshape(icl.shape[:2])


def kendall(icl: Float[Tensor, "n layers tokens"], ft: Float[Tensor, "n layers tokens"]) -> Float[Tensor, " layers"]:
    """Rank correlation of attention to the demonstration tokens, heads summed: mean over queries of `kendall_taus`."""
    return kendall_taus(icl, ft).mean(0)


@runtime_checkable
class Internals(Protocol):
    """What these compare, as in `icl.Internals`."""

    outputs: Float[Tensor, "n layers d"]
    query_scores: Float[Tensor, "n layers heads query_tokens"]
    demo_scores: Float[Tensor, "n layers heads demo_tokens"]
    training_attention: Callable[[], Float[Tensor, "n layers training_tokens"]]


def update_similarities(
    zsl: Internals, icl: Internals, ft: Internals, seed: int = 0
) -> dict[str, Float[Tensor, "n layers"]]:
    """SimAOU and SimAM with their nulls, for every query and layer."""
    z, i, f = zsl.outputs, icl.outputs, ft.outputs
    rho = [(h - z).norm(dim=-1) / z.norm(dim=-1) for h in (i, f)]
    maps = zsl.query_scores, icl.query_scores, ft.query_scores
    noise = torch.randn(maps[0].shape, generator=torch.Generator().manual_seed(seed)) * (maps[0] != 0)
    noise = noise / noise.norm(dim=-1, keepdim=True) * (maps[2] - maps[0]).norm(dim=-1, keepdim=True)
    return {
        "sim_aou": aou_cosines(i, f, z),
        "sim_aou raw": aou_cosines(i, f, z, normalize=False),
        "sim_aou noise": noise_sim_aou(*rho),
        "rho icl": rho[0],
        "rho ft": rho[1],
        "sim_am before": am_cosines(maps[1], maps[0]),
        "sim_am after": am_cosines(maps[1], maps[2]),
        "sim_am noise": am_cosines(maps[1], maps[0] + noise),
    }


def rank_correlations(icl: Internals, ft: Internals, seed: int = 0) -> dict[str, Float[Tensor, "n layers"]]:
    """Kendall's τ of the prompt's attention with the paper's stand-in for finetuning's, and with a random map."""
    attention = icl.demo_scores.sum(2)
    random = torch.rand(attention.shape, generator=torch.Generator().manual_seed(seed))
    taus = kendall_taus(attention, ft.training_attention()), kendall_taus(attention, random)
    return dict(zip(("kendall", "kendall random"), taus, strict=True))


def example_shares(
    scores: Float[Tensor, "n layers tokens"], lengths: Sequence[int]
) -> Float[Tensor, "n layers examples"]:
    """Scores of tokens as shares of whole examples of these lengths, as in the paper's code."""
    return torch.stack([part.sum(-1) for part in scores.softmax(-1).split(lengths, dim=-1)], dim=-1)


def bootstrap_interval(
    values: np.ndarray | Tensor, level: float = 0.95, seed: int = 0
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Percentile bootstrap interval of the mean of `values` [n ...] over n, 10,000 resamples; floats for [n]."""
    values = np.asarray(values, dtype=float)
    found = stats.bootstrap(
        (values,),
        np.mean,
        axis=0,
        confidence_level=level,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(seed),
        batch=500,
    )
    ends = found.confidence_interval
    return (float(ends.low), float(ends.high)) if values.ndim == 1 else (ends.low, ends.high)


def accuracy_interval(right: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Wilson interval of a share: `right` [n] says of each query whether it was answered right."""
    right = np.asarray(right)
    found = stats.binomtest(int(right.sum()), len(right)).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)
