"""What training finds beyond a step of one rate: one layer finds a rate for every direction, two find GD++."""

from collections.abc import Iterator
from functools import partial

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from helpers import regression
from helpers.experiments.one_step import LAYERS, TRAINED
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown
from helpers.regression import Weights

N = D = 10  # demonstrations, dimensions


def scales() -> Float[Tensor, " d"]:
    """Standard deviations of an input's ten entries: geometric, from 1 down to 0.2."""
    return 0.2 ** torch.linspace(0, 1, D)


def best_rates(n: int, scale: Float[Tensor, " d"]) -> Float[Tensor, " d"]:
    """Theory for gaussian inputs: the best rate in direction j is 1 / ((n + 1) s_j² + Σ s²) (Ahn et al. 2306.00297)."""
    return 1 / ((n + 1) * scale**2 + scale.square().sum())


def preconditioned_step(matrix: Float[Tensor, "d d"]) -> Weights:
    """A step from W₀ = 0 as a layer, with a matrix A in the rate's place: it predicts Σ y_i x_i · (A x)."""
    d = len(matrix)
    layer = regression.gd_as_attention(torch.zeros(1, d), 1.0)
    layer["w_q"][:d, :d] = matrix
    return layer


def correlation(a: Float[Tensor, " b"], b: Float[Tensor, " b"]) -> float:
    return round(torch.corrcoef(torch.stack([a, b]))[0, 1].item(), 6)


def one_layer(seed: int) -> dict:
    """A trained layer, the best step of one rate and theory's preconditioned step, on 200,000 fresh tasks."""
    layer = regression.learn(N, D, seed=seed, scale=scales()).layers[0]
    test = regression.random_problems(200_000, N, D, 10**6, scale=scales())
    lr = regression.best_step_size(**vars(test))
    stacks = {
        "learned": layer,
        "one rate": regression.gd_as_attention(torch.zeros(1, D), lr),
        "preconditioned": preconditioned_step(best_rates(N, scales()).diag()),
    }
    said = {name: regression.predict([each], test) for name, each in stacks.items()}
    return {
        "loss": {name: round(regression.loss(each, test), 5) for name, each in said.items()},
        "zero": round(test.y.square().mean().item(), 5),
        "lr": round(lr, 5),
        "matrix": regression.step_matrix(layer).double().mul(1e5).round().div(1e5).tolist(),
        "correlation": {name: correlation(said["learned"], said[name]) for name in ("one rate", "preconditioned")},
    }


def tuned_layers(way: str) -> list[Weights]:
    """The two layers that were tuned as gradient steps or as GD++ (`one_step.LAYERS`)."""
    first, second, *gamma = LAYERS.rows(way=way, layers=2)[0]["result"]["numbers"]
    return [regression.gd_plus_plus(D, first, *(gamma or [0.0])), regression.gd_plus_plus(D, second, 0.0)]


def move_matrix(layer: Weights) -> Float[Tensor, "d d"]:
    """What a layer does to inputs, where it is x ← x − Σ_j C x_j (x_j·x) with C a multiple of I: that C."""
    d = layer["p"].shape[0] - 1
    return -(layer["p"] @ layer["w_v"])[:d, :d] @ (layer["w_k"].mT @ layer["w_q"])[:d, :d]


def two_layers(seed: int) -> dict:
    """Two trained layers beside two tuned steps and tuned GD++, on 100,000 tasks with uniform inputs."""
    learned = regression.learn(N, D, 2, seed, 4000, inputs="uniform").layers
    test = regression.random_problems(100_000, N, D, 10**6, "uniform")
    said, ways = regression.predict(learned, test), ("steps", "GD++")
    matrices = [*map(regression.step_matrix, learned), move_matrix(learned[0])]
    diagonals = [matrix.diag().mean().item() for matrix in matrices]
    others = [(each - each.diag().diag()).abs().max().item() for each in matrices]
    return {
        "loss": round(regression.loss(said, test), 5),
        "correlation": {way: correlation(said, regression.predict(tuned_layers(way), test)) for way in ways},
        "numbers": [round(number, 4) for number in diagonals],  # the two rates and γ, to compare with GD++'s
        "off the diagonal": [round(most / abs(mean), 4) for most, mean in zip(others, diagonals, strict=True)],
    }


def seeds(count: int) -> Iterator[dict]:
    yield from ({"seed": seed} for seed in range(count))


ONE = (*TRAINED, scales, best_rates, preconditioned_step, correlation)
PRECONDITIONED = Study("preconditioned", partial(seeds, 5), one_layer, ONE)
TWO_LAYERS = Study("two_layers", partial(seeds, 3), two_layers, (*TRAINED, correlation, tuned_layers, move_matrix))
STUDIES = (PRECONDITIONED, TWO_LAYERS)


# --- What the lines say


def one_layer_table() -> str:
    """Losses on unequal inputs, and how far the trained layers' predictions are another's; over the seeds low–high."""
    rows = PRECONDITIONED.rows()
    loss, near = (pd.DataFrame([row["result"][what] for row in rows]) for what in ("loss", "correlation"))
    found = [["saying 0", f"{rows[0]['result']['zero']:.3f}", None]]
    for name, key in (("best step of one rate", "one rate"), ("best preconditioned step, by theory", "preconditioned")):
        found.append([name, f"{loss[key][0]:.3f}", f"{near[key].min():.4f}–{near[key].max():.4f}"])
    found.append(["trained layer", f"{loss.learned.min():.3f}–{loss.learned.max():.3f}", None])
    return markdown(pd.DataFrame(found, columns=["", "loss", "correlation with the trained layer"]))


def two_layers_table() -> str:
    """The rates and γ of tuned GD++ and of trained layers, and how the trained layers' predictions go with others'."""
    first, second, gamma = LAYERS.rows(way="GD++", layers=2)[0]["result"]["numbers"]
    found = [["GD++, tuned", *(f"{number:.3f}" for number in (first, second, gamma)), None, None, None]]
    for row in TWO_LAYERS.rows():
        result, near = row["result"], row["result"]["correlation"]
        told = [*(f"{number:.3f}" for number in result["numbers"]), f"{max(result['off the diagonal']):.1%}"]
        found.append([f"trained, seed {row['cell']['seed']}", *told, f"{near['GD++']:.4f}", f"{near['steps']:.4f}"])
    heads = ["", "first rate", "second rate", "γ", "off the diagonal", "with GD++", "with two steps"]
    return markdown(pd.DataFrame(found, columns=heads))
