"""A small decoder language model with a choice of attention, on a page.

In the manner of nanoGPT and minGPT (Karpathy): pre-norm blocks, tied embeddings, rotary positions. `ATTENTION` names
the kinds of attention; everything else is the same, and so are the weights that a seed draws.
"""

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import attention


@dataclass(frozen=True)
class Shape:
    """A model's dimensions and kind of attention; `eta`: the momentum of the kinds that have one, "learned" from 0."""

    vocabulary: int = 1024
    context: int = 256
    layers: int = 4
    heads: int = 4
    width: int = 128
    attention: str = "softmax"
    eta: float | Literal["learned"] = "learned"


State = tuple[Tensor, ...]  # what a kind of attention keeps from the tokens before


class Softmax(nn.Module):
    """Plain attention: `forward` for whole sequences [b heads n d], `step` for one more token [b heads d]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        keys, values = appended(past, k, v)
        return F.scaled_dot_product_attention(q[..., None, :], keys, values)[..., 0, :], (keys, values)


class Momentum(Softmax):
    """Softmax attention + Σ_{i<t} η^{t−i} v_i, η one a head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.eta = eta_from(shape)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention.momentum_attention(q, k, v, self.eta)

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        plain, state = super().step(q, k, v, past)
        momentum = past[2] if past else torch.zeros_like(v)  # Σ_{i<t} η^{t−i} v_i
        eta = torch.as_tensor(self.eta, dtype=v.dtype)[..., None]
        return plain + momentum, (*state, eta * (momentum + v))


class Recency(Softmax):
    """Plain attention with a learned slope a head on distance, from 0: scores q·k/√d − slope · (t − i).

    What is the same for all i leaves a softmax as it is, so `slope · i` will do: one more entry in every query and key.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.slope = nn.Parameter(torch.zeros(shape.heads))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.attend(q, k, v, is_causal=True)

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        keys, values = appended(past, k, v)
        return self.attend(q[..., None, :], keys, values, is_causal=False)[..., 0, :], (keys, values)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, is_causal: bool) -> Tensor:
        scale = q.shape[-1] ** -0.5
        slopes = (self.slope / scale)[:, None, None].expand(*q.shape[:-1], 1)
        places = torch.arange(k.shape[-2], dtype=k.dtype, device=k.device)[:, None].expand(*k.shape[:-1], 1)
        q, k = torch.cat([q, slopes], -1), torch.cat([k, places], -1)
        return F.scaled_dot_product_attention(q, k, F.pad(v, (0, 1)), is_causal=is_causal, scale=scale)[..., :-1]


class Convolution(Softmax):
    """Plain attention to values that a short causal convolution mixed, channel by channel; it starts from none."""

    taps = 4

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        start = torch.zeros(self.taps, shape.heads, 1, shape.width // shape.heads)
        start[0] = 1
        self.filter = nn.Parameter(start)  # [age heads 1 d]

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return super().forward(q, k, self.convolved(v))

    def convolved(self, v: Tensor) -> Tensor:
        n = v.shape[-2]
        return sum(F.pad(v, (0, 0, age, 0))[..., :n, :] * self.filter[age] for age in range(self.taps))

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        recent = v[..., None, :] if past is None else torch.cat([past[2], v[..., None, :]], -2)
        out, state = super().step(q, k, self.convolved(recent)[..., -1, :], past)
        return out, (*state, recent[..., 1 - self.taps :, :])


class Linear(nn.Module):
    """Linear attention; what grows with the number of tokens is brought to one size a head, as in RetNet."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return unit_size(attention.chunked_linear_attention(q, k, v))

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        token = (x[..., None, :] for x in (q, k, v))
        out, state = attention.recurrent_linear_attention(*token, past and past[0])
        return unit_size(out)[..., 0, :], (state,)


class MomentumLinear(nn.Module):
    """Linear attention by gradient descent with momentum (eq. 6.5): S += U, U_t = v_t ⊗ k_t + η U_{t−1}."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.eta = eta_from(shape)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return unit_size(attention.momentum_linear_attention(q, k, v, self.eta))

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        outer, eta = v[..., :, None] * k[..., None, :], torch.as_tensor(self.eta, dtype=v.dtype)[..., None, None]
        state, update = past or (torch.zeros_like(outer), torch.zeros_like(outer))
        update = outer + eta * update
        state = state + update
        return unit_size((state @ q[..., None])[..., 0]), (state, update)


ATTENTION = {
    "softmax": Softmax,
    "linear": Linear,
    "momentum": Momentum,
    "momentum-linear": MomentumLinear,
    "recency": Recency,
    "convolution": Convolution,
}


def eta_from(shape: Shape) -> float | nn.Parameter:
    """η as it was given, or one to learn for each head, from 0. Raises ValueError for an η outside [0, 1)."""
    if shape.eta == "learned":
        return nn.Parameter(torch.zeros(shape.heads))
    if not 0 <= shape.eta < 1:
        raise ValueError(f"eta = {shape.eta} must be in [0, 1): at 1 nothing is ever forgotten.")
    return shape.eta


def appended(past: State | None, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values with those of one more token."""
    k, v = k[..., None, :], v[..., None, :]
    return (k, v) if past is None else (torch.cat([past[0], k], -2), torch.cat([past[1], v], -2))


def unit_size(x: Tensor) -> Tensor:
    """Every row divided by its root mean square."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)


def rotary(x: Float[Tensor, "... n d"], start: int) -> Float[Tensor, "... n d"]:
    """Rotary positions (Su et al. 2104.09864): pairs of entries turned by an angle that grows with the place."""
    half = x.shape[-1] // 2
    places = torch.arange(start, start + x.shape[-2], device=x.device)[:, None]
    angles = places * 10_000 ** (-torch.arange(half, device=x.device) / half)
    (a, b), cos, sin = x.chunk(2, -1), angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to what came in."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, width = shape.heads, shape.width
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)
        self.attention = ATTENTION[shape.attention](shape)

    def forward(self, x: Float[Tensor, "b n e"]) -> Float[Tensor, "b n e"]:
        out = self.attention(*self.projections(x, 0))  # [b heads n d]
        return self.residual(x, out.transpose(1, 2).flatten(2))

    def step(self, x: Float[Tensor, "b 1 e"], place: int, past: State | None) -> tuple[Tensor, State]:
        out, past = self.attention.step(*(y[:, :, 0] for y in self.projections(x, place)), past)  # [b heads d]
        return self.residual(x, out.flatten(1)[:, None]), past

    def projections(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return rotary(q, start), rotary(k, start), v

    def residual(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended)
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class LanguageModel(nn.Module):
    """Logits [b n vocabulary] of the next token for token ids [b n]; the seed draws the same weights for every kind."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        if shape.attention not in ATTENTION:
            raise ValueError(f"There is no attention called {shape.attention!r}. There are: {', '.join(ATTENTION)}.")
        self.shape, self.warned = shape, False
        self.tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.width, bias=False)
        rng = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2 and "attention" not in name:
                deep = name.endswith(("out.weight", "down.weight"))  # adds to the residual, 2 · layers times
                nn.init.normal_(weight, std=0.02 / (2 * shape.layers) ** 0.5 if deep else 0.02, generator=rng)

    def forward(self, tokens: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n vocabulary"]:
        return self.read(self.tokens(tokens)) @ self.tokens.weight.mT

    def read(self, x: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch n width"]:
        """The blocks' output for embedded tokens, or for other inputs in their place."""
        self.warn_beyond(x.shape[1])
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def step(self, tokens: Int[Tensor, " batch"], place: int, past: list) -> tuple[Tensor, list]:
        """Logits [b vocabulary] after one more token, and what every block remembers; `past` is [] before the first."""
        self.warn_beyond(place + 1)
        x, states = self.tokens(tokens)[:, None], []
        for block, state in zip(self.blocks, past or [None] * len(self.blocks), strict=True):
            x, state = block.step(x, place, state)
            states.append(state)
        return (self.norm(x) @ self.tokens.weight.mT)[:, 0], states

    def losses(self, tokens: Int[Tensor, "batch n"]) -> Float[Tensor, "batch n-1"]:
        """−log p of every token but the first, in nats."""
        logits = self(tokens[:, :-1])
        return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")

    def warn_beyond(self, length: int) -> None:
        if length > self.shape.context and not self.warned:
            self.warned, trained = True, self.shape.context
            message = f"{length} tokens are more than the {trained} this model was trained on: predictions get worse."
            warnings.warn(message, stacklevel=4)

    @property
    def etas(self) -> list[Tensor]:
        """The learned η of every block."""
        return [weight for name, weight in self.named_parameters() if name.endswith("attention.eta")]
