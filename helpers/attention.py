"""Causal attention five ways: softmax, and without it as one product, a recurrence, chunks, and normalised.

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
| η       | eta             | scalar              | momentum                                           |
"""

from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.shapes import Within, checked


@checked
def softmax_attention(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch n d"], v: Float[Tensor, "*batch n m"]
) -> Float[Tensor, "*batch n m"]:
    """(1.1), (3.1): o_t = Σ_{i≤t} v_i softmax_i(k_i·q_t / √d)."""
    scores = q @ k.mT / q.shape[-1] ** 0.5
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ v


@checked
def linear_attention(
    q: Float[Tensor, "*batch n d"], k: Float[Tensor, "*batch n d"], v: Float[Tensor, "*batch n m"]
) -> Float[Tensor, "*batch n m"]:
    """(1.2): o_t = Σ_{i≤t} v_i (k_i·q_t), all tokens at once; O(n²)."""
    return (q @ k.mT).tril() @ v


@checked
def recurrent_linear_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n m"],
    state: Float[Tensor, "*batch m d"] | None = None,
) -> tuple[Float[Tensor, "*batch n m"], Float[Tensor, "*batch m d"]]:
    """(1.3): S_t = S_{t−1} + v_t ⊗ k_t, o_t = S_t q_t, token by token; O(n). Goes on from `state` if there is one."""
    state = q.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1]) if state is None else state
    outputs = []
    for q_t, k_t, v_t in zip(*(x.unbind(-2) for x in (q, k, v)), strict=True):
        state = state + v_t[..., :, None] * k_t[..., None, :]
        outputs.append((state @ q_t[..., None])[..., 0])
    return torch.stack(outputs, -2) if outputs else torch.zeros_like(v), state


@checked
def chunked_linear_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n m"],
    chunk: Annotated[int, Within(1)] = 128,
) -> Float[Tensor, "*batch n m"]:
    """(1.4): within a chunk all at once, from chunk to chunk by the state; O(n · chunk). The fast one."""
    state, outputs = q.new_zeros(*q.shape[:-2], v.shape[-1], q.shape[-1]), []
    for q_c, k_c, v_c in zip(*(x.split(chunk, -2) for x in (q, k, v)), strict=True):
        outputs.append((q_c @ k_c.mT).tril() @ v_c + q_c @ state.mT)
        state = state + v_c.mT @ k_c
    return torch.cat(outputs, -2)


@checked
def normalized_linear_attention(
    q: Float[Tensor, "*batch n d"],
    k: Float[Tensor, "*batch n d"],
    v: Float[Tensor, "*batch n m"],
    chunk: Annotated[int, Within(1)] = 128,
) -> Float[Tensor, "*batch n m"]:
    """(1.5): Σ_{i≤t} v_i φ(q_t)·φ(k_i) / Σ_{i≤t} φ(q_t)·φ(k_i), φ = elu + 1 (Katharopoulos et al. 2020)."""
    ones = v.new_ones(*v.shape[:-1], 1)  # one more value, always 1, gathers the sum of the weights
    outputs = chunked_linear_attention(_positive(q), _positive(k), torch.cat([v, ones], -1), chunk)
    return outputs[..., :-1] / outputs[..., -1:]


def _positive(x: Tensor) -> Tensor:
    """φ(x) = elu(x) + 1, written so that it stays positive: e^x and not (e^x − 1) + 1 below zero."""
    return torch.where(x > 0, x + 1, x.clamp(max=0).exp())
