"""What momentum does to a GPT that was trained without: a short finetuning on the manual, of η, of keys and values.

Within a seed every variant learns from the same windows and is asked the same.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers import gpt, icl, lm, metrics, tasks
from helpers.experiments.study import Study
from helpers.experiments.tables import markdown, with_interval, with_range
from helpers.gpt import GPT
from helpers.gpt import momentum as gpt_momentum
from helpers.support import cache, training

SEEDS, DEV_SEED = range(3), 1000
LEARN = {  # variant: the groups of parameters that learn, each at its own rate
    "untrained": (),
    "keys and values": ("keys and values",),
    "eta": ("eta",),
    "eta, keys and values": ("eta", "keys and values"),
}
LEARNING_RATES = {"eta": (0.003, 0.01, 0.03), "keys and values": (3e-5, 1e-4, 3e-4, 1e-3)}
RATE = {"eta": 0.01, "keys and values": 3e-4}  # the best of these on the development split
RECIPE = lm.TrainingConfig(steps=20, batch=1, lr=1.0, warmup=2)  # its rates are multiplied by each group's own
WINDOW, WINDOWS, DEV_WINDOWS = 384, 16, 8  # tokens; windows to test on
ASKED, SHOTS, QUERIES = ("past", "antonym", "capital"), 16, 40


def rate_cells() -> Iterator[dict]:
    for name, rates in LEARNING_RATES.items():
        yield from ({"group": name, "lr": lr, "seed": DEV_SEED} for lr in rates)


def try_rate(model: GPT, group: str, lr: float, seed: int) -> dict:
    """Loss of development windows (nats a token) after learning one group at one rate."""
    tuned = fresh(model.name, group)
    losses = finetune(tuned, {group: lr}, seed)
    return {"dev": window_losses(tuned, "dev", DEV_WINDOWS), "training": losses}


def cells() -> Iterator[dict]:
    """All variants of one seed before the next."""
    for seed in SEEDS:
        yield from ({"variant": variant, "seed": seed} for variant in LEARN)


def pretrained(model: GPT, variant: str, seed: int) -> dict:
    """After finetuning: loss of every test window; answers to word pairs in context, right or not, and −log p."""
    tuned, rates = fresh(model.name, variant), {name: RATE[name] for name in LEARN[variant]}
    result = {"rates": rates, "training": finetune(tuned, rates, seed) if rates else []}
    result |= {"test": window_losses(tuned, "test", WINDOWS)} | {task: answers(tuned, task, seed) for task in ASKED}
    result["etas"] = [rounded(eta.tolist()) for eta in gpt_momentum.etas(tuned.network)]
    data = cache.digest(*lm.corpus("train"), *lm.corpus("test"))[:12]
    return result | {"about": {"weights": tuned.fingerprint(), "data": data, "window": WINDOW}}


def fresh(name: str, variant: str) -> GPT:
    """The pretrained model in a copy of its own, with what is to learn."""
    return gpt.load(name, attention="momentum" if "eta" in variant else "softmax")


def finetune(model: GPT, rates: dict[str, float], seed: int) -> list[float]:
    """AdamW without decay on random windows of the manual, all other weights as they are; the losses on the way."""
    config, tokens = replace(RECIPE, seed=seed), text(model.name, "train")
    model.network.requires_grad_(False)
    groups = [{"params": group(model, name), "lr": lr} for name, lr in rates.items()]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.95), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, config.rate)

    def loss_at(step: int) -> Tensor:
        return gpt.language_model_loss(
            model, lm.random_windows(tokens, WINDOW - 1, config.batch, seed, step)[0].tolist()
        )

    losses = []
    for _, loss in training.gradient_steps(loss_at, config.steps, optimizer, schedule):
        gpt_momentum.clip(model.network)
        losses.append(loss)
    return rounded(losses)


def group(model: GPT, name: str) -> list[nn.Parameter]:
    """The parameters of a group, free to learn."""
    if name == "keys and values":
        found = list(gpt.key_and_value_weights(model.network).values())
    else:
        found = [weight for path, weight in model.network.named_parameters() if path.endswith(f".{name}")]
    return [weight.requires_grad_() for weight in found]


@functools.cache
def text(name: str, split: str) -> Int[Tensor, " tokens"]:
    """A split of the manual as one row of a model's token ids."""
    encode = gpt.load(name).encode
    return torch.tensor([token for page in lm.corpus(split) for token in encode(page)])


@torch.no_grad()
def window_losses(model: GPT, split: str, windows: int) -> list[float]:
    """Loss (nats a token) of windows that lie evenly over a split, each behind a BOS."""
    row = text(model.name, split)
    starts = np.linspace(0, len(row) - WINDOW, windows).astype(int)
    return rounded(gpt.language_model_loss(model, row[start : start + WINDOW].tolist()).item() for start in starts)


@torch.no_grad()
def answers(model: GPT, task: str, seed: int) -> dict:
    """In context, the first token of every query's answer: is it the model's choice, and what is −log p of it."""
    drawn = tasks.load(task, SHOTS, seed, queries=QUERIES)
    prefix = icl.prefix_ids(model, drawn)
    shown, right, losses = gpt.encode_prefix(model, prefix), "", []
    for query in drawn.queries:
        row = gpt.pack([icl.query_ids(model, drawn, query)], [[[]]], len(prefix), follow=False)
        logits = gpt.logits_of(model, shown, row, [row.ids.shape[1] - 1])[0]
        firsts = sorted({ids[0] for ids in icl.answer_ids(model, drawn, query)})
        right += "01"[logits.argmax().item() in firsts]
        losses.append(-logits.log_softmax(-1)[firsts].logsumexp(0).item())
    return {"right": right, "losses": rounded(losses)}


def rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 4) for value in values]


DECIDES = (
    "lm",
    "support.training",
    "attention",
    "icl",
    "gpt",
    "tasks",
    "support.examples",
    fresh,
    finetune,
    group,
    text,
    window_losses,
    answers,
    rounded,
)
PRETRAINED_RATES = Study("pretrained_rates", rate_cells, try_rate, DECIDES, real=True)
PRETRAINED = Study("pretrained", cells, pretrained, DECIDES, real=True)
STUDIES = (PRETRAINED_RATES, PRETRAINED)


# --- What the lines say: `rows` are those of `PRETRAINED`

SHOWN = {"untrained": "not finetuned"}  # as recorded: as shown


def measured(rows: Sequence[dict], variant: str, what: str = "test") -> dict[int, np.ndarray]:
    """Of every seed, a value a test window ("test": its loss), or a query ("past right", "past losses")."""
    task, _, kind = what.partition(" ")
    found = {row["cell"]["seed"]: row["result"][task] for row in rows if row["cell"]["variant"] == variant}
    return {seed: np.array(list(r[kind] if kind else r), dtype=float) for seed, r in sorted(found.items())}


def difference(rows: Sequence[dict], variant: str, base: str, what: str = "test") -> tuple[float, float, float]:
    """Variant minus base over the seeds that both have: mean, 95 % bootstrap interval over windows or queries."""
    ours, theirs = measured(rows, variant, what), measured(rows, base, what)
    shared = [seed for seed in ours if seed in theirs]
    if not shared:
        raise ValueError(f"difference: no seed is recorded for both {variant!r} and {base!r}.")
    each = np.mean([ours[seed] - theirs[seed] for seed in shared], axis=0)
    return float(each.mean()), *metrics.bootstrap_interval(each)


def differences_table(
    rows: Sequence[dict], what: str = "test", bases: Sequence[str] = ("untrained", "keys and values")
) -> str:
    """Every variant: mean [lowest, highest seed], and the paired difference from each base with its interval."""
    found = []
    for variant in [name for name in LEARN if measured(rows, name, what)]:
        seeds = [values.mean() for values in measured(rows, variant, what).values()]
        apart = [
            "" if base == variant else with_interval(difference(rows, variant, base, what), 3, "+") for base in bases
        ]
        found.append([SHOWN.get(variant, variant), with_range(seeds, 3), *apart])
    columns = ["learned", "mean", *(f"minus {SHOWN.get(base, base)}" for base in bases)]
    return markdown(pd.DataFrame(found, columns=columns))


def learned_etas(rows: Sequence[dict], variant: str = "eta") -> Float[np.ndarray, "seeds layers heads"]:
    """The η that each seed ended with."""
    return np.array([row["result"]["etas"] for row in rows if row["cell"]["variant"] == variant])


def eta_table(rows: Sequence[dict], parts: int = 5) -> str:
    """Where η was learned: of each part of the layers its median, its largest, and how many are above .01, or at 0."""
    found = []
    for variant in [name for name in LEARN if "eta" in name and measured(rows, name)]:
        etas = learned_etas(rows, variant)
        for layers in np.array_split(np.arange(etas.shape[1]), parts):
            part = etas[:, layers]
            found.append(
                {
                    "learned": variant,
                    "layers": f"{layers[0] + 1}–{layers[-1] + 1}",
                    "median η": f"{np.median(part):.3f}",
                    "largest": f"{part.max():.3f}",
                    "above .01": f"{(part > 0.01).mean():.0%}",
                    "at 0": f"{(part == 0).mean():.0%}",
                }
            )
    return markdown(pd.DataFrame(found))
