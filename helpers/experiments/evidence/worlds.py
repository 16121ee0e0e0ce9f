"""Linear tasks, and three models of known working: one that descends on its demonstrations and two that copy them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from helpers import attention, dual, regression

DRAWS, N, D, M, QUERIES = 12, 16, 10, 8, 400  # draws, demonstrations a draw, width of inputs and targets, queries
STEEP, FIRST = 20.0, 100.0  # of the nearest head; what puts every demonstration before the query itself
Outputs = Float[Tensor, "draws k m"]
Scores = Float[Tensor, "draws k n"]
Updates = Float[Tensor, "draws m d"]


# --- The world


@dataclass(frozen=True)
class World:
    """One task: draws of demonstrations, the queries, and the weights and the rate that every model starts with."""

    w0: Float[Tensor, "draws m d"]  # the same for every draw
    inputs: Float[Tensor, "draws n d"]
    targets: Float[Tensor, "draws n m"]
    x: Float[Tensor, "k d"]
    y: Float[Tensor, "k m"]
    lr: float

    @property
    def zero_shot(self) -> Outputs:
        return self.x @ self.w0.mT

    def step(self, targets: Float[Tensor, "draws n m"], lr: float) -> Updates:
        """What one gradient step on the demonstrations, with these targets, does to the weights."""
        return dual.gradient_step(self.w0, self.inputs, targets, lr)[1] - self.w0


def random_world(common: int, seed: int, queries: int = QUERIES) -> World:
    """A teacher, weights correlated .71 with it, and inputs around a common part of length √d · common."""
    rng = torch.Generator().manual_seed(seed)
    teacher, other = torch.randn(2, M, D, generator=rng)
    centre = torch.randn(D, generator=rng)
    centre = centre * (common * D**0.5 / centre.norm())
    inputs = centre + torch.randn(DRAWS, N, D, generator=rng)
    x = centre + torch.randn(queries, D, generator=rng)
    w0 = ((teacher + other) / 2**0.5).expand(DRAWS, M, D)
    return World(w0, inputs, inputs @ teacher.T, x, x @ teacher.T, best_rate(common))


def best_rate(common: int, problems: int = 20_000) -> float:
    """(eq. 3.7): the rate of the best single step on other tasks with such inputs: what the layer would learn."""
    rng = torch.Generator().manual_seed(10**6)
    inputs, w = torch.randn(problems, N + 1, D, generator=rng), torch.randn(problems, D, 1, generator=rng)
    inputs[..., 0] += common * D**0.5
    y = (inputs @ w)[..., 0]
    return regression.best_step_size(inputs[:, :-1], y[:, :-1], inputs[:, -1], y[:, -1])


# --- The three models in context: their outputs, and their attention to the demonstrations before any softmax


def descender(world: World) -> tuple[Outputs, Scores]:
    """(eq. 3.6): the layer of linear attention that is a gradient step."""
    layer = regression.gd_as_attention(world.w0[0], world.lr)
    demos = torch.cat([world.inputs, world.targets], -1)
    queries = torch.cat([world.x.expand(DRAWS, -1, -1), -world.zero_shot], -1)
    scores = queries @ layer["w_q"].mT @ (demos @ layer["w_k"].mT).mT
    return -regression.attend(layer, demos, queries)[..., D:], scores


def nearest(world: World) -> tuple[Outputs, Scores]:
    """Scores fall with the squared distance of inputs: x_i·x − ½‖x_i‖² is −½‖x − x_i‖² and a constant of the query."""
    half = world.inputs.square().sum(-1, keepdim=True) / 2
    keys = torch.cat([world.inputs, -half, torch.ones_like(half)], -1)
    one = torch.ones(len(world.x), 1)
    return _head(world, STEEP * torch.cat([world.x, one, FIRST * one], -1), keys)


def recency(world: World) -> tuple[Outputs, Scores]:
    """Scores rise by 1 from demonstration to demonstration: the last target counts for .63, the one before for .23."""
    places = torch.arange(N, dtype=torch.float32)
    keys = torch.stack([places, torch.ones(N)], -1).expand(DRAWS, N, 2)
    return _head(world, torch.tensor([[1.0, FIRST]]).expand(len(world.x), 2), keys)


def _head(
    world: World, looks: Float[Tensor, "k features"], keys: Float[Tensor, "draws n features"]
) -> tuple[Outputs, Scores]:
    """(eq. 1.1): attention of every query to the demonstrations' targets, and to itself: key 0, value W₀x."""
    scale = looks.shape[-1] ** 0.5  # attention divides by it
    shape = DRAWS, len(looks), -1, -1
    k = torch.cat([keys[:, None].expand(shape), torch.zeros(DRAWS, len(looks), 1, keys.shape[-1])], 2)
    v = torch.cat([world.targets[:, None].expand(shape), world.zero_shot[:, :, None]], 2)
    q = torch.zeros_like(k)
    q[:, :, -1] = looks * scale
    return attention.softmax_attention(q, k, v)[:, :, -1], looks @ keys.mT


MODELS = {"descender": descender, "nearest": nearest, "recency": recency}
