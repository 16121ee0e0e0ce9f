"""Momentum where the steps are: across a stack of layers that are gradient steps, without and with it."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from helpers import regression
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown

SEEDS = range(8)
DEPTHS = (1, 2, 4, 8, 12)
LEARNING_RATES, BETAS = [0.001 * rate for rate in range(10, 32, 2)], [0.1 * beta for beta in range(9)]


def depth_cells() -> Iterator[dict]:
    for seed in SEEDS:
        yield from ({"layers": n, "momentum": way, "seed": seed} for n in DEPTHS for way in (False, True))


def narrow(batch: int, seed: int) -> regression.Problems:
    """Regressions of 80 examples in ten dimensions, the condition number of whose inputs' covariance is 10."""
    return regression.random_problems(batch, 80, 10, seed, scale=torch.logspace(0, -0.5, 10))


def squared_errors(tasks: regression.Problems, layers: int, lr: float, beta: float) -> Float[Tensor, " b"]:
    """Of the queries, after so many layers that are gradient steps, with momentum β across them (eq. 6.4)."""
    step = regression.gd_as_attention(torch.zeros(1, tasks.x.shape[1]), lr)
    return (regression.predict([step] * layers, tasks, beta) - tasks.y).square()


def depth(layers: int, momentum: bool, seed: int) -> dict:
    """Median squared error on a thousand fresh tasks, rate and β chosen by the median on two hundred others."""
    others, tasks = narrow(200, seed), narrow(1000, 1000 + seed)
    tried = itertools.product(LEARNING_RATES, BETAS if momentum else [0.0])
    lr, beta = min(tried, key=lambda numbers: squared_errors(others, layers, *numbers).median().item())
    errors = squared_errors(tasks, layers, lr, beta).quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    return {"lr": round(lr, 3), "beta": round(beta, 1), "quartiles": [float(f"{error:.4g}") for error in errors]}


DEPTH = Study("depth", depth_cells, depth, ("regression", "dual", narrow, squared_errors))
STUDIES = (DEPTH,)


def depth_table() -> str:
    """For every number of layers the median error without and with momentum: median over the seeds, lowest–highest."""
    rows = []
    for layers, found in DEPTH.frame().groupby("layers"):
        plain, moving = (found[found.momentum == way] for way in (False, True))
        errors = np.array([[quartiles[1] for quartiles in way.quartiles] for way in (plain, moving)])
        cells = [f"{np.median(way):.2g} ({way.min():.2g}–{way.max():.2g})" for way in errors]
        ratio, chosen = np.median(errors[0] / errors[1]), f"{moving.lr.median():.3f}, {moving.beta.median():.1f}"
        rows.append([layers, *cells, f"{ratio:.3g}", chosen])
    return markdown(pd.DataFrame(rows, columns=["layers", "plain", "momentum", "plain ÷ momentum", "rate, β"]))
