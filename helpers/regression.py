"""In-context linear regression, and the linear transformer that learns to solve it (von Oswald et al. 2212.07677).

A token is e_i = (x_i, y_i); the query is (x, −W₀x). A layer of linear self-attention, without mask and scale, reads
keys and values from the demonstrations only; minus the query's last entry is the prediction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Interval, doc
from jaxtyping import Float
from torch import Tensor, nn

from helpers import dual
from helpers.dual import Rate
from helpers.support import training
from helpers.support.shapes import checked

MATRICES = ("w_q", "w_k", "w_v", "p")
Weights = dict[str, Tensor]  # these of one layer, each [e e]
MOMENTS = {"gaussian": (1.0, 3.0), "uniform": (1 / 3, 1 / 5)}  # second and fourth of one entry of an input


@dataclass(frozen=True)
class Problems:
    """In-context problems: a teacher w of its own for each, y_i = w·x_i for the demonstrations, and one query."""

    inputs: Float[Tensor, "b n d"]
    targets: Float[Tensor, "b n"]
    x: Float[Tensor, "b d"]
    y: Float[Tensor, " b"]

    @property
    def demos(self) -> Float[Tensor, "b n e"]:
        """Tokens (x_i, y_i)."""
        return torch.cat([self.inputs, self.targets[..., None]], -1)

    @property
    def query(self) -> Float[Tensor, "b e"]:
        """The token (x, 0): the first weights are W₀ = 0."""
        return torch.cat([self.x, torch.zeros_like(self.y)[:, None]], -1)


def random_problems(
    batch: int,
    n: int,
    d: int,
    seed: int | torch.Generator = 0,
    inputs: Literal["gaussian", "uniform"] = "gaussian",
    scale: float | Float[Tensor, " d"] = 1.0,
    dtype: torch.dtype = torch.float32,
) -> Problems:
    """Fresh problems; inputs gaussian, or uniform in (−1, 1), times `scale` (or one a dimension); teachers gaussian."""
    if inputs not in MOMENTS:
        raise ValueError(f"inputs={inputs!r}: there are {', '.join(MOMENTS)}.")
    rng = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
    shape = batch, n + 1, d
    x = (torch.randn if inputs == "gaussian" else torch.rand)(shape, generator=rng, dtype=dtype)
    x = x if inputs == "gaussian" else 2 * x - 1
    w = torch.randn(batch, d, 1, generator=rng, dtype=dtype)
    y = (scale * x @ w)[..., 0]
    return Problems(scale * x[:, :-1], y[:, :-1], scale * x[:, -1], y[:, -1])


@checked
def gd_as_attention(w0: Float[Tensor, "m d"], lr: Rate) -> Weights:
    """(eq. 3.6): the layer of linear self-attention that is one gradient step (eq. 2.2) from W₀."""
    m, d = w0.shape
    unit = torch.eye(d + m, dtype=w0.dtype, device=w0.device)
    looks, errors = unit.clone(), torch.zeros_like(unit)
    looks[d:] = 0
    errors[d:, :d], errors[d:, d:] = w0, -unit[:m, :m]
    return {"w_q": looks, "w_k": looks.clone(), "w_v": errors, "p": lr * unit}


def attend(
    layer: Weights, demos: Float[Tensor, "*batch n e"], tokens: Float[Tensor, "*batch k e"]
) -> Float[Tensor, "*batch k e"]:
    """One layer: e + P Σ_j (W_V e_j)(W_K e_j · W_Q e), the sum over the demonstrations being ΔW_ICL of (eq. 3.2)."""
    update = dual.meta_gradient(layer["w_v"], layer["w_k"], demos)
    return tokens + tokens @ layer["w_q"].mT @ update.mT @ layer["p"].mT


def predict(layers: Sequence[Weights], problems: Problems, momentum: float = 0.0) -> Float[Tensor, " b"]:
    """Minus the query's last entry after these layers, each of which also moves the demonstrations.

    `momentum` β adds β of every token's last move to its next: layers are steps, and this is heavy ball (eq. 6.4).
    """
    tokens = before = torch.cat([problems.demos, problems.query[:, None]], 1)
    for layer in layers:
        tokens, before = attend(layer, tokens[:, :-1], tokens) + momentum * (tokens - before), tokens
    return -tokens[:, -1, -1]


@checked
def heavy_ball_layers(
    inputs: Float[Tensor, "n d"],
    targets: Float[Tensor, " n"],
    x: Float[Tensor, " d"],
    lr: Rate,
    beta: Annotated[float | int, Interval(ge=0, lt=1), doc("at 1 no move ever ends")],
    layers: Annotated[int, Ge(1)],
) -> float:
    """(eq. 6.4): w·x after steps w_{t+1} = w_t − lr ∇ + β (w_t − w_{t−1}) from w = 0 on the loss of (eq. 2.2)."""
    step = gd_as_attention(inputs.new_zeros(1, len(x)), lr)
    task = Problems(inputs[None], targets[None], x[None], x.new_zeros(1))
    return predict([step] * layers, task, beta).item()


def gd_plus_plus(d: int, lr: Rate, gamma: float) -> Weights:
    """GD++ as a layer: a step (eq. 3.6) from W₀ = 0 that also moves every input, x ← x − γ Σ_j x_j (x_j·x)."""
    layer = gd_as_attention(torch.zeros(1, d), lr)
    layer["w_v"][:d, :d] = torch.eye(d)
    layer["p"][:d, :d] = -gamma * torch.eye(d)
    return layer


@checked
def best_step_size(
    inputs: Float[Tensor, "b n d"], targets: Float[Tensor, "b n"], x: Float[Tensor, "b d"], y: Float[Tensor, " b"]
) -> float:
    """(eq. 3.7): the lr of one step (eq. 2.2) from W = 0 with the least mean error², Σ y p / Σ p², p = Σ_i t_i (x_i·x).

    Raises ValueError where every p is 0 (no inputs, or all of them zero): then every lr does the same.
    """
    p = (targets * (inputs @ x[..., None])[..., 0]).sum(-1)
    if not p.any():
        raise ValueError("best_step_size: every prediction is 0 whatever the rate: are the inputs or targets all zero?")
    return ((y * p).sum() / (p * p).sum()).item()


def theory(n: int, d: int, inputs: Literal["gaussian", "uniform"] = "gaussian") -> tuple[float, float]:
    """The best lr of (eq. 3.7) and its loss in expectation, from the inputs' second and fourth moments.

    Gaussian: 1 / (n + d + 1), and d (d + 1) / (n + d + 1).
    """
    second, fourth = MOMENTS[inputs]
    lr = second / (fourth + (n + d - 2) * second**2)
    return lr, d * second * (1 - n * second * lr)


def least_squares(problems: Problems) -> Float[Tensor, " b"]:
    """w·x for the w that fits the demonstrations best; of several such w the shortest."""
    w = torch.linalg.lstsq(problems.inputs, problems.targets[..., None]).solution[..., 0]
    return (w * problems.x).sum(-1)


def loss(predictions: Float[Tensor, " b"], problems: Problems) -> float:
    """Mean squared error of the queries."""
    return (predictions - problems.y).square().mean().item()


@dataclass(frozen=True)
class Learned:
    """Layers that were trained, and the loss [steps] on the way."""

    layers: list[Weights]
    losses: Float[Tensor, " steps"]


def learn(
    n: int,
    d: int,
    layers: int = 1,
    seed: int = 0,
    steps: int = 2000,
    batch: int = 1024,
    lr: float = 0.01,
    inputs: Literal["gaussian", "uniform"] = "gaussian",
    scale: float | Float[Tensor, " d"] = 1.0,
) -> Learned:
    """Train layers of linear self-attention, all four matrices free, on fresh problems at every step: Adam, one cycle.

    Raises ArithmeticError where the loss is no number any more: the rate was too high.
    """
    rng = torch.Generator().manual_seed(seed)
    stack = [_random_layer(d + 1, rng) for _ in range(layers)]
    weights = [weight for layer in stack for weight in layer.values()]
    adam = torch.optim.Adam(weights, lr, betas=(0.9, 0.99))
    whole = max(steps, 11)  # torch can't cycle in 10: it divides by 0.1 · steps − 1
    cycle = torch.optim.lr_scheduler.OneCycleLR(adam, lr, whole, pct_start=0.1)

    def loss_at(step: int) -> Float[Tensor, ""]:
        problems = random_problems(batch, n, d, rng, inputs, scale)
        return (predict(stack, problems) - problems.y).square().mean()

    clip = partial(nn.utils.clip_grad_norm_, weights, 1.0)
    losses = training.finish(training.gradient_steps(loss_at, steps, adam, cycle, clip), steps)
    return Learned([{name: weight.detach() for name, weight in layer.items()} for layer in stack], torch.tensor(losses))


def _random_layer(width: int, rng: torch.Generator) -> Weights:
    start = 0.3 / width**0.5
    return {name: (start * torch.randn(width, width, generator=rng)).requires_grad_() for name in MATRICES}


def step_matrix(layer: Weights) -> Float[Tensor, "d d"]:
    """What a trained layer makes of x before it meets inputs: prediction = Σ y_i x_i · (A x); lr · I for (eq. 3.6)."""
    d = layer["p"].shape[0] - 1
    return -(layer["p"] @ layer["w_v"])[-1, -1] * (layer["w_k"].mT @ layer["w_q"])[:d, :d]
