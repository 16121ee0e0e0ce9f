"""The small language model's training, its losses on a text, and text that it writes."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from numbers import Real

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from helpers.attention import HIGHEST_ETA
from helpers.lm.model import LanguageModel
from helpers.lm.text import END, random_windows
from helpers.support import training

Steps = Iterator[tuple[int, float]]  # each step's number and loss
LOWEST_TEMPERATURE = 1e-30  # below, logits / temperature leave float32, and the likeliest token is certain anyway


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained: AdamW, the rate rising over the first steps, then falling along a cosine to a tenth."""

    steps: int = 400
    batch: int = 8
    lr: float = 3e-3
    warmup: int = 40
    decay: float = 0.1  # of matrices, at every step, times the rate
    clip: float = 1.0
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        along = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * along)))


def descend(model: LanguageModel, loss_at: Callable[[int], Tensor], config: TrainingConfig) -> Steps:
    """Train step by step on any loss, giving each step's number and loss; every learned η stays in its range."""
    optimizer = adamw(model, config.decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, config.rate)
    clip = partial(nn.utils.clip_grad_norm_, list(model.parameters()), config.clip)
    for step, loss in training.gradient_steps(loss_at, config.steps, optimizer, schedule, clip):
        for eta in model.etas:
            eta.data.clamp_(0, HIGHEST_ETA)
        yield step, loss


def adamw(model: LanguageModel, decay: float) -> torch.optim.AdamW:
    """AdamW that lets only matrices decay; its rate of 1 is what a schedule multiplies."""
    matrices = [w for name, w in model.named_parameters() if w.dim() == 2 and "attention" not in name]
    others = [w for name, w in model.named_parameters() if w.dim() != 2 or "attention" in name]
    groups = [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95))


def training_steps(model: LanguageModel, tokens: Int[Tensor, " tokens"], config: TrainingConfig) -> Steps:
    """`descend` on text: predict every next token of random windows."""

    def loss_at(step: int) -> Tensor:
        windows = random_windows(tokens, model.shape.context, config.batch, config.seed, step)
        return model.losses(windows).mean()

    return descend(model, loss_at, config)


def train(model: LanguageModel, tokens: Int[Tensor, " tokens"], config: TrainingConfig) -> list[float]:
    """`training_steps` to the end; the losses on the way."""
    return training.finish(training_steps(model, tokens, config), config.steps, model.shape.attention)


@torch.no_grad()
def losses_by_position(
    model: LanguageModel, tokens: Int[Tensor, " tokens"], context: int | None = None, batch: int = 8
) -> Float[Tensor, " context"]:
    """Mean −log p (nats) of the token after 1, 2, … `context` others, over windows that don't overlap."""
    context = context or model.shape.context
    if len(tokens) <= context:
        raise ValueError(f"losses_by_position: {len(tokens)} tokens are too few for one window of {context}.")
    windows = tokens.unfold(0, context + 1, context)
    return torch.cat([model.losses(part) for part in windows.split(batch)]).mean(0)


@torch.no_grad()
def generate(
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, tokens: int = 100, temperature: Real = 0.8, seed: int = 0
) -> str:
    """Continue a prompt token by token, each from the states that the tokens before left; stops at END.

    An empty prompt begins a document. `temperature` 0 takes the likeliest token, always.
    Raises ValueError for a temperature or a number of tokens that is none.
    """
    _check_sampling(tokens, temperature)
    end, rng, past = tokenizer.token_to_id(END), torch.Generator().manual_seed(seed), []
    ids = [end, *tokenizer.encode(prompt).ids]
    start = len(ids)
    for place in range(start + tokens - 1):
        logits, past = model.step(torch.tensor([ids[place]]), place, past)
        if place + 1 < len(ids):
            continue
        ids.append(_next_token(logits[0], temperature, rng))
        if ids[-1] == end:
            break
    return tokenizer.decode(ids[start:])


def _check_sampling(tokens: int, temperature: Real) -> None:
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"generate: temperature = {temperature} has no meaning: logits are divided by it.\n"
            "Choose 0 for the likeliest token every time, 1 for the model's own probabilities, more for more variety."
        )
    if tokens < 1:
        raise ValueError(f"generate: tokens = {tokens} leaves nothing to write.\nAsk for at least one token.")


def _next_token(logits: Float[Tensor, " vocabulary"], temperature: Real, rng: torch.Generator) -> int:
    """A token drawn from softmax(logits / temperature), which at 0 is the likeliest."""
    if temperature < LOWEST_TEMPERATURE:
        return logits.argmax().item()
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=rng).item()
