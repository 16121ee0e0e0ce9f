"""Layers of linear attention trained on in-context regression, beside gradient steps and GD++ with tuned numbers."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd
import torch
from scipy import optimize

from helpers import regression
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown
from helpers.regression import Problems, Weights

DESIGNS = (("gaussian", 10, 10), ("gaussian", 20, 5), ("uniform", 10, 10))  # inputs, demonstrations, width


def one_step_cells() -> Iterator[dict]:
    for inputs, n, d in DESIGNS:
        for seed in range(6):
            yield {"inputs": inputs, "n": n, "d": d, "seed": seed}


def one_step(inputs: str, n: int, d: int, seed: int) -> dict:
    """A trained layer of linear attention beside the best single step, on 200,000 fresh tasks."""
    layer = regression.learn(n, d, seed=seed, inputs=inputs).layers[0]
    test = regression.random_problems(200_000, n, d, 10**6, inputs)
    lr = regression.best_step_size(test.inputs, test.targets, test.x, test.y)
    step = [regression.gd_as_attention(torch.zeros(1, d), lr)]
    matrix, both = regression.step_matrix(layer), [regression.predict(layers, test) for layers in ([layer], step)]
    losses = [regression.loss(predictions, test) for predictions in both]
    return {
        "learned": round(losses[0], 5),
        "best": round(losses[1], 5),
        "correlation": round(torch.corrcoef(torch.stack(both))[0, 1].item(), 6),
        "eta learned": round(n * matrix.diag().mean().item(), 4),
        "eta best": round(n * lr, 4),
        "off the diagonal": round((matrix - matrix.diag().diag()).abs().max().item() / matrix.diag().mean().item(), 4),
    }


def layer_cells() -> Iterator[dict]:
    for layers in (1, 2):
        for way in ("steps", "GD++"):
            yield {"way": way, "layers": layers, "seed": 0}
        for seed in range(5):
            yield {"way": "learned", "layers": layers, "seed": seed}


def layers_against_steps(way: str, layers: int, seed: int, n: int = 10, d: int = 10) -> dict:
    """Loss on 100,000 fresh tasks of stacked layers: learned, or gradient steps and GD++ with their numbers tuned."""
    test, numbers = regression.random_problems(100_000, n, d, 10**6, "uniform"), None
    if way == "learned":
        stack = regression.learn(n, d, layers, seed, 2000 * layers, inputs="uniform").layers
    else:
        plus = way == "GD++"  # every layer has a rate, and every one but the last moves the inputs to some use

        def build(*numbers: float) -> list[Weights]:
            gammas = (*numbers[layers:], 0.0) if plus else [0.0] * layers
            return [regression.gd_plus_plus(d, abs(lr), gamma) for lr, gamma in zip(numbers, gammas, strict=False)]

        some = regression.random_problems(20_000, n, d, seed, "uniform")
        starts = [[0.15] * layers + [gamma] * ((layers - 1) * plus) for gamma in (0.0, 0.1, 0.2)]
        numbers = min((tuned(build, start, some) for start in starts), key=lambda found: found[1])[0]
        stack = build(*numbers)
    return {"loss": round(regression.loss(regression.predict(stack, test), test), 5), "numbers": numbers}


def tuned(
    layers: Callable[..., list[Weights]], start: Sequence[float], problems: Problems
) -> tuple[list[float], float]:
    """The numbers that `layers(*numbers)` predicts these problems best with, by Nelder and Mead, and the loss."""
    found = optimize.minimize(
        lambda numbers: regression.loss(regression.predict(layers(*numbers.tolist()), problems), problems),
        start,
        method="Nelder-Mead",
    )
    return found.x.tolist(), float(found.fun)


TRAINED = ("regression", "dual", "support.training")
ONE_STEP = Study("one_step", one_step_cells, one_step, TRAINED)
LAYERS = Study("layers", layer_cells, layers_against_steps, (*TRAINED, tuned))
STUDIES = (ONE_STEP, LAYERS)


# --- What the lines say


def one_step_table() -> str:
    """Trained layers beside the best single step on the same tasks; over the seeds the worst, or lowest–highest."""
    rows = []
    for inputs, n, d in DESIGNS:
        found = ONE_STEP.frame(inputs=inputs, n=n, d=d)
        learned = found["eta learned"]
        rows.append(
            {
                "inputs": inputs,
                "n": n,
                "d": d,
                "loss ÷ best step's": f"{(found.learned / found.best).max():.4f}",
                "correlation ≥": f"{found.correlation.min():.5f}",
                "η learned": f"{learned.min():.3f}–{learned.max():.3f}",
                "η best": f"{found['eta best'][0]:.3f}",
                "theory": f"{n * regression.theory(n, d, inputs)[0]:.3f}",
                "off the diagonal": f"{found['off the diagonal'].max():.1%}",
            }
        )
    return markdown(pd.DataFrame(rows))


def layers_table() -> str:
    """Loss of one and two layers: tuned gradient steps, tuned GD++, and learned [lowest–highest seed]."""
    rows = []
    for layers, found in LAYERS.frame().groupby("layers"):
        loss = {way: values.loss for way, values in found.groupby("way")}
        single = {name: f"{loss[way].iloc[0]:.3f}" for name, way in (("gradient steps", "steps"), ("GD++", "GD++"))}
        rows.append(
            {"layers": layers} | single | {"learned": f"{loss['learned'].min():.3f}–{loss['learned'].max():.3f}"}
        )
    return markdown(pd.DataFrame(rows))
