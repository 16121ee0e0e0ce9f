"""What momentum in attention buys a small model: language modelling on a manual, recall and regression in context.

The grids go seed by seed, so that a run that was stopped can be compared as far as it got: within a seed every kind of
attention starts from the same weights and sees the same batches.
"""

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers import lm, metrics
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, minus
from helpers.lm import LanguageModel, Shape, TrainingConfig
from helpers.support import cache, training

SEEDS = range(8)
VARIANTS = {  # name: kind of attention, and its momentum
    "plain": ("softmax", 0.0),
    "η = 0.5": ("momentum", 0.5),
    "η = 0.9": ("momentum", 0.9),
    "η learned": ("momentum", "learned"),
    "recency": ("recency", 0.0),
    "convolution": ("convolution", 0.0),
    "linear": ("linear", 0.0),
    "momentum-linear": ("momentum-linear", "learned"),
}
LANGUAGE = ("plain", "η = 0.5", "η = 0.9", "η learned", "recency", "convolution")
LONGER = {"plain": (512, 1024), "η learned": (512, 1024), "recency": (512, 1024)}  # than trained for
SHAPE, RECIPE = (
    Shape(vocabulary=1024, context=256, layers=2, heads=4, width=128),
    TrainingConfig(steps=800, batch=4, lr=6e-3, warmup=80),
)
BINS = (16, 32, 64, 128, 256, 512, 1024)  # ends of the ranges of positions


def cells(variants: Sequence[str]) -> Callable[[], Iterator[dict]]:
    """A grid, all variants of one seed before the next."""

    def grid() -> Iterator[dict]:
        for seed in SEEDS:
            yield from ({"variant": variant, "seed": seed} for variant in variants)

    return grid


@functools.cache
def material() -> dict[str, Tensor]:
    """The manual's splits as token ids, in a vocabulary learned from the training documents."""
    tokenizer = lm.vocabulary(lm.corpus("train"), SHAPE.vocabulary)
    return {split: lm.encode(tokenizer, lm.corpus(split)) for split in ("train", "dev", "test")}


def language(variant: str, seed: int) -> dict:
    """Test loss (nats a token) of a small model trained on the manual: overall, by position, and at greater lengths."""
    model = build(SHAPE, variant, seed)
    losses = lm.train(model, material()["train"], replace(RECIPE, seed=seed))
    result = {"trained to": round(float(np.mean(losses[-50:])), 5)}
    with warnings.catch_warnings(action="ignore"):  # of contexts longer than trained for, which are the point
        for context in (SHAPE.context, *LONGER.get(variant, ())):
            by_position = lm.losses_by_position(model, material()["test"], context)
            result[str(context)] = {"loss": round(by_position.mean().item(), 5), "by position": binned(by_position)}
    return result | learned(model) | {"about": about(model, RECIPE, material())}


RECALL = ("plain", "η = 0.5", "η learned", "momentum-linear")
PAIRS = (2, 4, 8)
KEYS = 16  # as many values
RECALL_SHAPE = Shape(vocabulary=2 * KEYS, context=4 * max(PAIRS), layers=2, heads=2, width=64)
RECALL_RECIPE = TrainingConfig(steps=4000, batch=32, lr=4e-3, warmup=100)


def recalled(batch: int, pairs: int, rng: torch.Generator) -> Int[Tensor, "batch tokens"]:
    """Pairs of a key and a value, all keys different and all values by chance; then the same pairs in another order."""
    keys = torch.rand(batch, KEYS, generator=rng).argsort(1)[:, :pairs]
    values = KEYS + torch.randint(KEYS, (batch, pairs), generator=rng)
    shown = torch.stack([keys, values], -1)
    order = torch.rand(batch, pairs, generator=rng).argsort(1)
    asked = shown.gather(1, order[..., None].expand_as(shown))
    return torch.cat([shown, asked], 1).flatten(1)


def recall_logits(model: LanguageModel, tokens: Int[Tensor, "batch tokens"]) -> tuple[Tensor, Tensor]:
    """Logits [batch pairs vocabulary] behind every key that is shown again, and the values [batch pairs] it had."""
    half = tokens.shape[1] // 2
    return model(tokens[:, :-1])[:, half::2], tokens[:, half + 1 :: 2]


def recall(variant: str, seed: int) -> dict:
    """Error of a small model in recalling a key's value, by the number of pairs it has been shown."""
    model = build(RECALL_SHAPE, variant, seed)
    recipe = replace(RECALL_RECIPE, seed=seed)

    def loss_at(step: int) -> Tensor:
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        pairs = PAIRS[torch.randint(len(PAIRS), (), generator=rng)]
        logits, values = recall_logits(model, recalled(recipe.batch, pairs, rng))
        return F.cross_entropy(logits.flatten(0, 1), values.flatten())

    losses = training.finish(lm.descend(model, loss_at, recipe), recipe.steps, variant)
    errors, rng = {}, torch.Generator().manual_seed(10**9)  # the same questions for every model
    with torch.no_grad():
        for pairs in PAIRS:
            logits, values = recall_logits(model, recalled(4096 // pairs, pairs, rng))
            errors[str(pairs)] = round((logits.argmax(-1) != values).double().mean().item(), 5)
    every = [round(float(np.mean(part)), 4) for part in np.array_split(losses, 30)]
    return {"error": errors, "losses": every} | learned(model) | {"about": about(model, recipe, "drawn by the seed")}


REGRESSION = ("plain", "η learned", "momentum-linear")
DEMOS, WIDTH = 8, 2
REGRESSION_SHAPE = Shape(vocabulary=1, context=2 * DEMOS + 2, layers=2, heads=4, width=64)
REGRESSION_RECIPE = TrainingConfig(steps=2500, batch=32, lr=4e-3, warmup=100)


class Regressor(LanguageModel):
    """Reads x_1, y_1, x_2, y_2, … as numbers and predicts each y behind its x (Garg et al. 2208.01066)."""

    def __init__(self, shape: Shape, seed: int) -> None:
        super().__init__(shape, seed)
        rng = torch.Generator().manual_seed(seed)
        self.enter = nn.Parameter(torch.randn(WIDTH + 1, shape.width, generator=rng) / (WIDTH + 1) ** 0.5)
        self.leave = nn.Parameter(torch.zeros(shape.width))

    def forward(self, x: Float[Tensor, "b n d"], y: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        inputs, targets = F.pad(x, (0, 1)), F.pad(y[..., None], (x.shape[-1], 0))
        tokens = torch.stack([inputs, targets], 2).flatten(1, 2)[:, :-1]
        return self.read(tokens @ self.enter)[:, ::2] @ self.leave


def lines(batch: int, rng: torch.Generator) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b n"]]:
    """Inputs and targets of linear regressions without noise: everything Gaussian."""
    x, w = torch.randn(batch, DEMOS + 1, WIDTH, generator=rng), torch.randn(batch, WIDTH, 1, generator=rng)
    return x, (x @ w)[..., 0]


def icl_regression(variant: str, seed: int) -> dict:
    """Squared error over d (1: knowing nothing) of regression in context, by the number of demonstrations 0 … 8."""
    model, recipe = build(REGRESSION_SHAPE, variant, seed, Regressor), replace(REGRESSION_RECIPE, seed=seed)

    def loss_at(step: int) -> Tensor:
        x, y = lines(recipe.batch, torch.Generator().manual_seed(seed * 1_000_003 + step))
        return (model(x, y) - y).square().mean() / WIDTH

    losses = training.finish(lm.descend(model, loss_at, recipe), recipe.steps, variant)
    with torch.no_grad():
        x, y = lines(4096, torch.Generator().manual_seed(10**9))
        errors = (model(x, y) - y).square().mean(0) / WIDTH
    every = [round(float(np.mean(part)), 4) for part in np.array_split(losses, 30)]
    found = {"error": [round(error, 5) for error in errors.tolist()], "losses": every}
    return found | learned(model) | {"about": about(model, recipe, "drawn by the seed")}


def build(shape: Shape, variant: str, seed: int, kind: type[LanguageModel] = LanguageModel) -> LanguageModel:
    name, eta = VARIANTS[variant]
    return kind(replace(shape, attention=name, eta=eta), seed)


def binned(losses: Float[Tensor, " n"]) -> dict[str, float]:
    """Means over ranges of positions, named by the last."""
    found, start = {}, 0
    for end in BINS:
        if start < len(losses):
            found[str(end)] = round(losses[start:end].mean().item(), 5)
        start = end
    return found


def learned(model: LanguageModel) -> dict:
    """The learned η or slopes, block by block and head by head."""
    found = {
        name: [[round(number, 4) for number in w.tolist()] for key, w in model.named_parameters() if key.endswith(end)]
        for name, end in (("etas", "attention.eta"), ("slopes", "attention.slope"))
    }
    return {name: rows for name, rows in found.items() if rows}


def about(model: nn.Module, recipe: TrainingConfig, data: object) -> dict:
    """Model and data of one cell, for its line."""
    weights = list(model.state_dict().values())
    return {
        "model": f"{sum(w.numel() for w in model.parameters()):,} parameters, {asdict(model.shape)}",
        "recipe": asdict(recipe),
        "weights": cache.digest(*(w.numpy().tobytes() for w in weights))[:12],
        "data": cache.digest(*(x.numpy().tobytes() for x in data.values()) if isinstance(data, dict) else data)[:12],
    }


DECIDES = ("lm", "attention", "support.training", cells, build, binned, learned)
# Thousands of steps multiply rounding: so far apart may errors be on another machine, losses on the way even more.
ROUGHLY = {"tolerance": 0.03, "rounded": ("losses",)}
LANGUAGE_STUDY = Study("lm", cells(LANGUAGE), language, (*DECIDES, material), **ROUGHLY)
RECALL_STUDY = Study("recall", cells(RECALL), recall, (*DECIDES, recalled, recall_logits), **ROUGHLY)
REGRESSION_STUDY = Study("icl_regression", cells(REGRESSION), icl_regression, (*DECIDES, Regressor, lines), **ROUGHLY)
STUDIES = (LANGUAGE_STUDY, RECALL_STUDY, REGRESSION_STUDY)


# --- What the lines say: `rows` are those of a study


Reading = Callable[[dict], float | list[float]]


def final_loss(result: dict) -> float:
    """Nats a token at the length that was trained for."""
    return result[str(SHAPE.context)]["loss"]


def by_position(result: dict, context: int = SHAPE.context) -> list[float]:
    """Test loss by range of positions, as in `BINS`."""
    return list(result[str(context)]["by position"].values())


def by_demonstrations(result: dict) -> list[float]:
    """Error by number of demonstrations."""
    return list(result["error"].values()) if isinstance(result["error"], dict) else result["error"]


def measured(rows: Sequence[dict], variant: str, read: Reading = final_loss) -> dict[int, np.ndarray]:
    """A variant's recorded value, or values, for every seed."""
    found = {row["cell"]["seed"]: row["result"] for row in rows if row["cell"]["variant"] == variant}
    return {seed: np.array(read(result)) for seed, result in sorted(found.items())}


def differences(rows: Sequence[dict], variant: str, base: str = "plain", read: Reading = final_loss) -> np.ndarray:
    """Variant minus base [seeds ...], over the seeds that both have: the same first weights, the same batches."""
    ours, theirs = measured(rows, variant, read), measured(rows, base, read)
    shared = [seed for seed in ours if seed in theirs]
    if not shared:
        raise ValueError(f"differences: no seed is recorded for both {variant!r} and {base!r}.")
    return np.array([ours[seed] - theirs[seed] for seed in shared])


def estimate(values: np.ndarray) -> tuple:
    """Mean over seeds [seeds ...] with a 95 % bootstrap interval: `(mean, low, high)`."""
    mean = values.mean(0)
    return (mean if mean.ndim else float(mean)), *metrics.bootstrap_interval(values)


def last(result: dict) -> float:
    """Error after the most demonstrations."""
    return by_demonstrations(result)[-1]


def seeds_table(rows: Sequence[dict], base: str = "plain", read: Reading = final_loss, digits: int = 3) -> str:
    """Every variant: mean, paired difference from the base with its interval, and in how many seeds it is below."""
    found = []
    for variant in dict.fromkeys(row["cell"]["variant"] for row in rows):
        compared = [None] * 3
        if variant != base:
            apart = differences(rows, variant, base, read)
            middle, low, high = estimate(apart)
            compared = [minus(f"{middle:+.{digits}f}"), minus(f"{low:+.{digits}f} to {high:+.{digits}f}")]
            compared.append(f"{(apart < 0).sum()} of {len(apart)} seeds")
        mean = np.mean(list(measured(rows, variant, read).values()))
        found.append([variant, f"{mean:.{digits}f}", *compared])
    columns = ["attention", "mean", f"minus {base}", "95 % interval", "lower in"]
    return markdown(pd.DataFrame(found, columns=columns))


def loss_gain(variant: str) -> str:
    """Test loss of the small language model below plain attention's, with its interval over seeds."""
    mean, low, high = estimate(-differences(LANGUAGE_STUDY.rows(), variant))
    return f"{mean:.3f} ({low:.3f} to {high:.3f})"


def loss_change(length: str) -> str:
    """Test loss of the small language model with a learned η, minus plain attention's, at a length of context."""
    apart = differences(LANGUAGE_STUDY.rows(), "η learned", read=lambda result: result[length]["loss"])
    return minus(f"{apart.mean():.2f}")
