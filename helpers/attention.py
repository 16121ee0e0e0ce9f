"""Causal attention: softmax attention, linear attention in four forms, and momentum.

The paper writes vectors as columns; here a token is a row, and any batch and head dimensions lead.

| symbol  | code            | shape               | meaning                                            |
|---------|-----------------|---------------------|----------------------------------------------------|
| n, d, m |                 |                     | tokens, key width, value width                     |
| Q, K, V | q, k, v         | [... n d], [... n m]| one row a token                                    |
| W_V, W_K| w_v, w_k        | [m e], [d e]        | projections: v = x @ w_v.T                         |
| X', X   | demos, context  | [n' e], [n e]       | demonstration tokens, query-input tokens           |
| q       | query           | [d]                 | the query vector of the last token                 |
| W₀, ΔW  | w0, dw          | [m d]               | initial weights and their update                   |
| e_i     | errors          | [n m]               | error signal of example i, learning rate included  |
| η       | eta             | scalar, or [heads]  | momentum                                           |
"""

from numbers import Real
from typing import Annotated, Any

import torch
from annotated_types import Ge, Interval, doc
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from helpers.support.shapes import checked

Queries = Keys = Float[Tensor, "*batch n d"]
Values = Float[Tensor, "*batch n m"]
State = Float[Tensor, "*batch m d"]
Chunk = Annotated[int, Ge(1)]
HIGHEST_ETA = 0.999  # a learned η is brought back to this after a step that went beyond, and to 0 below
Momentum = Annotated[
    Real | Tensor, Interval(ge=0, lt=1), doc("at 1 nothing is ever forgotten and the sum grows with every token")
]


@checked
def softmax_attention(q: Queries, k: Keys, v: Values) -> Values:
    """(eq. 1.1), (eq. 3.1): o_t = Σ_{i≤t} v_i softmax_i(k_i·q_t / √d)."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


@checked
def linear_attention(q: Queries, k: Keys, v: Values) -> Values:
    """(eq. 1.2): o_t = Σ_{i≤t} v_i (k_i·q_t), all tokens at once; O(n²)."""
    return (q @ k.mT).tril() @ v


@checked
def recurrent_linear_attention(q: Queries, k: Keys, v: Values, state: State | None = None) -> tuple[Values, State]:
    """(eq. 1.3): S_t = S_{t−1} + v_t ⊗ k_t, o_t = S_t q_t, token by token; O(n). Goes on from `state` if given."""
    state = q.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1]) if state is None else state
    outputs = []
    for q_t, k_t, v_t in zip(*(x.unbind(-2) for x in (q, k, v)), strict=True):
        state = state + v_t[..., :, None] * k_t[..., None, :]
        outputs.append((state @ q_t[..., None])[..., 0])
    return torch.stack(outputs, -2) if outputs else torch.zeros_like(v), state


@checked
def chunked_linear_attention(q: Queries, k: Keys, v: Values, chunk: Chunk = 128) -> Values:
    """(eq. 1.4): within a chunk all at once, from chunk to chunk by the state; O(n · chunk). The fast one."""
    state, outputs = q.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1]), []
    for q_c, k_c, v_c in zip(*(x.split(chunk, -2) for x in (q, k, v)), strict=True):
        outputs.append((q_c @ k_c.mT).tril() @ v_c + q_c @ state.mT)
        state = state + v_c.mT @ k_c
    return torch.cat(outputs, -2)


@checked
def normalized_linear_attention(q: Queries, k: Keys, v: Values, chunk: Chunk = 128) -> Values:
    """(eq. 1.5): Σ_{i≤t} v_i φ(q_t)·φ(k_i) / Σ_{i≤t} φ(q_t)·φ(k_i), φ = elu + 1 (Katharopoulos et al. 2020)."""
    ones = v.new_ones(*v.shape[:-1], 1)  # one more value, always 1, gathers the sum of the weights
    looks = relative(positive(q))  # the length of φ(q) cancels, but may underflow before it does
    outputs = chunked_linear_attention(looks, positive(k), torch.cat([v, ones], -1), chunk)
    return outputs[..., :-1] / outputs[..., -1:]


def positive(x: Tensor) -> Tensor:
    """φ(x) = elu(x) + 1, written so that it stays positive: e^x and not (e^x − 1) + 1 below zero, and never 0."""
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp().clamp(min=torch.finfo(x.dtype).tiny))


def relative(x: Tensor) -> Tensor:
    """x over its largest entry."""
    return x / x.amax(-1, keepdim=True)


# Momentum. η is one number for all, or a tensor with one number a head or whatever else broadcasts over the dimensions
# before [n m]; it may be a parameter that is learned, also from exactly 0, where its gradient is not zero.


@checked
def momentum_gradients(gradients: Values, eta: Momentum, chunk: Annotated[int, Ge(2)] = 32) -> Values:
    """(eq. 6.1): the running buffer u_t = g_t + η u_{t−1}, as `torch.optim.SGD` keeps it."""
    return gradients + momentum_scan(gradients, eta, chunk)


@checked
def momentum_scan(v: Values, eta: Momentum, chunk: Annotated[int, Ge(2)] = 32) -> Values:
    """(eq. 6.3): Σ_{i<t} η^{t−i} v_i for every t; O(n · chunk): in a chunk one product, between chunks one state.

    The state is float32 where v is less: a running sum in bfloat16 stalls as soon as what comes in is 2⁻⁸ of it.
    """
    kept = torch.promote_types(v.dtype, torch.float32)
    return _Scan.apply(None, v.to(kept), _exact(eta, v), chunk).to(v.dtype)


class _Scan(torch.autograd.Function):
    """A scan, added to what is `plain`; its gradient is a scan too, where autograd would hold copies on the way."""

    @staticmethod
    def forward(ctx: Any, plain: Tensor | None, v: Tensor, eta: Tensor, chunk: int) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(v, eta)
        ctx.chunk = chunk
        scan = _earlier(v, eta, 1, chunk)
        return scan if plain is None else scan.add_(plain)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (v, eta), to_v, to_eta = ctx.saved_tensors, None, None
        if ctx.needs_input_grad[1]:
            to_v = _earlier(g.flip(-2), eta, 1, ctx.chunk).flip(-2)
        if ctx.needs_input_grad[2]:  # scan = η E, E_t = v_{t−1} + η E_{t−1}, so dE/dη is E's own scan of that kind
            e = _earlier(v, eta, 0, ctx.chunk)
            slope = e + eta[..., None, None].to(e.dtype) * _earlier(e, eta, 0, ctx.chunk)
            to_eta = (slope * g).sum((-2, -1)).sum_to_size(eta.shape).to(eta.dtype)
        return g if ctx.needs_input_grad[0] else None, to_v, to_eta, None


def _earlier(x: Tensor, eta: Tensor, lag: int, chunk: int) -> Tensor:
    """Σ_{i<t} η^{t−1−i+lag} x_i; the states between the chunks are such a sum too, of the chunks' sums and η^chunk."""
    n = x.shape[-2]
    ages = torch.arange(min(n, chunk), device=x.device)
    powers = _powers(eta, len(ages), x.dtype)
    table = powers[..., (ages[:, None] - ages - 1 + lag).clamp(min=0)].tril(-1)
    if n <= chunk:
        return table @ x
    chunks = (F.pad(x, (0, 0, 0, -n % chunk)) if n % chunk else x).unflatten(-2, (-1, chunk))
    sums = (powers[..., None, None, :chunk].flip(-1) @ chunks)[..., 0, :]  # [... n/chunk m]
    states = _earlier(sums, eta**chunk, 0, chunk)[..., None, :]
    inside = table[..., None, :, :] @ chunks
    return inside.addcmul_(powers[..., None, lag : lag + chunk, None], states).flatten(-3, -2)[..., :n, :]


def _exact(eta: Real | Tensor, v: Tensor) -> Tensor:
    """η in float64, since .999 rounded to float32 shows after a thousand tokens; its shape must suit v [*batch n m]."""
    eta = torch.as_tensor(eta, dtype=torch.float32 if v.device.type == "mps" else torch.float64, device=v.device)
    batch = v.shape[:-2]
    fits = (own in (1, size) for own, size in zip(reversed(eta.shape), reversed(batch), strict=False))
    if eta.dim() > len(batch) or not all(fits):
        raise ValueError(
            f"eta has shape {list(eta.shape)}; it must broadcast over the {list(batch)} before tokens and width."
        )
    return eta


def _powers(eta: Tensor, highest: int, dtype: torch.dtype) -> Tensor:
    """η⁰ … η^highest [... highest+1]."""
    return (eta[..., None] ** torch.arange(highest + 1, device=eta.device, dtype=eta.dtype)).to(dtype)


@checked
def momentum_attention(q: Queries, k: Keys, v: Values, eta: Momentum) -> Values:
    """(eq. 6.2): softmax attention (eq. 1.1), in torch's fast form, + Σ_{i<t} η^{t−i} v_i (Dai et al. 2022, §5)."""
    plain, kept = F.scaled_dot_product_attention(q, k, v, is_causal=True), torch.promote_types(v.dtype, torch.float32)
    return _Scan.apply(plain.to(kept), v.to(kept), _exact(eta, v), 32).to(v.dtype)


@checked
def momentum_linear_attention(q: Queries, k: Keys, v: Values, eta: Momentum, chunk: Chunk = 128) -> Values:
    """(eq. 6.5): descent with momentum on ℓ_t(S) = −v_tᵀ S k_t: o_t = Σ_{i≤t} (1 + η + … + η^{t−i}) v_i (k_i·q_t).

    In chunks as (eq. 1.4), with two states: S the weights and U their last change.
    """
    powers = _powers(_exact(eta, v), chunk, torch.promote_types(v.dtype, torch.float32))
    sums = powers.cumsum(-1)  # Σ_{j≤a} η^j, the weight of a pair of age a
    ages = torch.arange(chunk, device=v.device)
    table = sums[..., (ages[:, None] - ages).clamp(min=0)].tril()
    state = change = powers.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1])
    outputs = []
    for q_c, k_c, v_c in zip(*(x.to(powers.dtype).split(chunk, -2) for x in (q, k, v)), strict=True):
        size = q_c.shape[-2]
        more = sums[..., 1 : size + 1, None] - 1  # what the change so far goes on to add: η + … + η^{t+1}
        inside = (q_c @ k_c.mT * table[..., :size, :size]) @ v_c
        outputs.append(inside + q_c @ state.mT + more * (q_c @ change.mT))
        state = state + (sums[..., size, None, None] - 1) * change + v_c.mT @ (sums[..., :size, None].flip(-2) * k_c)
        change = powers[..., size, None, None] * change + v_c.mT @ (powers[..., :size, None].flip(-2) * k_c)
    return torch.cat(outputs, -2).to(v.dtype)
