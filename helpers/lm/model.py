"""A small decoder language model with a choice of attention: a page for the model, a page for its training.

In the manner of nanoGPT and minGPT (Karpathy): pre-norm blocks, tied embeddings, rotary positions. `ATTENTION` names
the kinds of attention; everything else is the same, and so are the weights that a seed draws.
"""

import functools
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers import attention
from helpers.support import cache

END = "<end>"  # of a document


# --- Text


@functools.cache
def corpus(split: Literal["train", "dev", "test"] = "train") -> tuple[str, ...]:
    """The pages of Django's manual that belong to this split, each a long document (data/README.md)."""
    path = cache.folder("manual", "documents.jsonl")
    if not path.exists():
        raise FileNotFoundError(f"The manual is not here yet ({path}).\nFetch it once (11 MB): python -m helpers setup")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(row["text"] for row in rows if row["split"] == split)


def vocabulary(documents: Sequence[str], size: int = 1024) -> Tokenizer:
    """Byte-pair tokens learned from these documents; any text can be said in them. ValueError if there is none."""
    if not any(documents):
        raise ValueError("vocabulary: the corpus is empty: there is no text in any of its documents.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, documents: Sequence[str]) -> Int[Tensor, " tokens"]:
    """All documents as one row of token ids, each followed by END. Raises ValueError if there is no text."""
    ids = [[*coded.ids, tokenizer.token_to_id(END)] for coded in tokenizer.encode_batch(list(documents)) if coded.ids]
    if not ids:
        raise ValueError("encode: the corpus is empty: there is no text in any of its documents.")
    return torch.tensor([token for document in ids for token in document])


# --- The model


@dataclass(frozen=True)
class Shape:
    """What decides a model's parameters. `eta` is the momentum of the kinds that have one; "learned" starts from 0."""

    vocabulary: int = 1024
    context: int = 256
    layers: int = 4
    heads: int = 4
    width: int = 128
    attention: str = "softmax"
    eta: float | Literal["learned"] = "learned"


State = tuple[Tensor, ...]  # what a kind of attention remembers of the tokens before
Tokens = Int[Tensor, "batch n"]


class Softmax(nn.Module):
    """Plain attention: `forward` for whole sequences [b heads n d], `step` for one more token [b heads d]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        keys, values = grown(past, k, v)
        return F.scaled_dot_product_attention(q[..., None, :], keys, values)[..., 0, :], (keys, values)


class Momentum(Softmax):
    """Softmax attention + Σ_{i<t} η^{t−i} v_i, η one a head."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.eta = eta_of(shape)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention.momentum_attention(q, k, v, self.eta)

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        keys, values = grown(past, k, v)
        momentum = past[2] if past else torch.zeros_like(v)
        out, momentum = attention.momentum_step(q, keys, values, self.eta, momentum)
        return out, (keys, values, momentum)


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
        keys, values = grown(past, k, v)
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
        return super().forward(q, k, self.mixed(v))

    def mixed(self, v: Tensor) -> Tensor:
        n = v.shape[-2]
        return sum(F.pad(v, (0, 0, age, 0))[..., :n, :] * self.filter[age] for age in range(self.taps))

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        recent = v[..., None, :] if past is None else torch.cat([past[2], v[..., None, :]], -2)
        out, (keys, values) = super().step(q, k, self.mixed(recent)[..., -1, :], past and past[:2])
        return out, (keys, values, recent[..., 1 - self.taps :, :])


class Linear(nn.Module):
    """Linear attention; what grows with the number of tokens is brought to one size a head, as in RetNet."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return normed(attention.chunked_linear_attention(q, k, v))

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        token = (x[..., None, :] for x in (q, k, v))
        out, state = attention.recurrent_linear_attention(*token, past and past[0])
        return normed(out)[..., 0, :], (state,)


class MomentumLinear(nn.Module):
    """Linear attention whose state is moved by gradient descent with momentum."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.eta = eta_of(shape)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return normed(attention.momentum_linear_attention(q, k, v, self.eta))

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        token = (x[..., None, :] for x in (q, k, v))
        out, state = attention.recurrent_momentum_linear_attention(*token, self.eta, past)
        return normed(out)[..., 0, :], state


class NormalizedLinear(nn.Module):
    """Linear attention with φ = elu + 1, divided by the sum of its weights."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention.normalized_linear_attention(q, k, v)

    def step(self, q: Tensor, k: Tensor, v: Tensor, past: State | None) -> tuple[Tensor, State]:
        q, k, v = attention.positive(q), attention.positive(k), F.pad(v, (0, 1), value=1)
        token = (x[..., None, :] for x in (q, k, v))
        out, state = attention.recurrent_linear_attention(*token, past and past[0])
        return out[..., 0, :-1] / out[..., 0, -1:], (state,)


ATTENTION = {
    "softmax": Softmax,
    "linear": Linear,
    "normalized-linear": NormalizedLinear,
    "momentum": Momentum,
    "momentum-linear": MomentumLinear,
    "recency": Recency,
    "convolution": Convolution,
}


def eta_of(shape: Shape) -> float | nn.Parameter:
    """η as it was given, or one to learn for each head, from 0."""
    return nn.Parameter(torch.zeros(shape.heads)) if shape.eta == "learned" else shape.eta


def grown(past: State | None, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values with one more token's."""
    k, v = k[..., None, :], v[..., None, :]
    return (k, v) if past is None else (torch.cat([past[0], k], -2), torch.cat([past[1], v], -2))


def normed(x: Tensor) -> Tensor:
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)


def rotated(x: Float[Tensor, "... n d"], start: int) -> Float[Tensor, "... n d"]:
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
        out = self.attention(*self.projected(x, 0))  # [b heads n d]
        return self.added(x, out.transpose(1, 2).flatten(2))

    def step(self, x: Float[Tensor, "b 1 e"], place: int, past: State | None) -> tuple[Tensor, State]:
        out, past = self.attention.step(*(y[:, :, 0] for y in self.projected(x, place)), past)  # [b heads d]
        return self.added(x, out.flatten(1)[:, None]), past

    def projected(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self.qkv(self.norm_1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return rotated(q, start), rotated(k, start), v

    def added(self, x: Tensor, attended: Tensor) -> Tensor:
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

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch n vocabulary"]:
        return self.read(self.tokens(tokens)) @ self.tokens.weight.mT

    def read(self, x: Float[Tensor, "batch n width"]) -> Float[Tensor, "batch n width"]:
        """What the blocks make of embedded tokens, or of whatever else is to be read in their place."""
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

    def losses(self, tokens: Tokens) -> Float[Tensor, "batch n-1"]:
        """−log p of every token but the first, in nats."""
        logits = self(tokens[:, :-1])
        return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")

    def warn_beyond(self, length: int) -> None:
        if length > self.shape.context and not self.warned:
            self.warned = True
            warnings.warn(
                f"{length} tokens are more than the {self.shape.context} this model was trained on: "
                "expect worse predictions.",
                stacklevel=4,
            )

    @property
    def etas(self) -> list[Tensor]:
        """The learned η of every block."""
        return [weight for name, weight in self.named_parameters() if name.endswith("attention.eta")]


# --- Training


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: AdamW, the rate rising over the first steps, then falling along a cosine to a tenth."""

    steps: int = 400
    batch: int = 8
    lr: float = 3e-3
    warmup: int = 40
    decay: float = 0.1  # of matrices, at every step, times the rate
    clip: float = 1.0
    seed: int = 0

    def rate(self, step: int) -> float:
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        along = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (0.1 + 0.45 * (1 + math.cos(math.pi * along)))


def batch(tokens: Int[Tensor, " tokens"], context: int, recipe: Recipe, step: int) -> Tokens:
    """A step's random windows of context + 1 tokens: the same for every model, and after a resume."""
    if len(tokens) <= context:
        raise ValueError(f"batch: {len(tokens)} tokens are too few for windows of {context} and the next one.")
    rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    starts = torch.randint(len(tokens) - context, (recipe.batch, 1), generator=rng)
    return tokens[starts + torch.arange(context + 1)]


def optimizer_of(model: LanguageModel, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that lets only matrices decay."""
    matrices = [w for name, w in model.named_parameters() if w.dim() == 2 and "attention" not in name]
    others = [w for name, w in model.named_parameters() if w.dim() != 2 or "attention" in name]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95))


def descend(
    model: LanguageModel,
    loss_at: Callable[[int], Tensor],
    recipe: Recipe,
    checkpoint: Path | None = None,
    every: int = 100,
) -> Iterator[tuple[int, float]]:
    """Train step by step, giving each step's number and loss; goes on from `checkpoint`, kept every so many steps.

    Raises ArithmeticError where the loss is no number any more.
    """
    optimizer = optimizer_of(model, recipe)
    for step in range(resume(checkpoint, model, optimizer, recipe) if checkpoint else 0, recipe.steps):
        loss = loss_at(step)
        if not loss.isfinite():
            raise ArithmeticError(f"After {step} steps the loss is {loss.item()}: lr = {recipe.lr} is too high.")
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        for eta in model.etas:
            eta.data.clamp_(0, attention.HIGHEST_ETA)
        if checkpoint and ((step + 1) % every == 0 or step + 1 == recipe.steps):
            save(checkpoint, model, optimizer, recipe, step + 1)
        yield step, loss.item()


def training(
    model: LanguageModel, tokens: Int[Tensor, " tokens"], recipe: Recipe, **options: object
) -> Iterator[tuple[int, float]]:
    """`descend` on text: predict every next token of random windows."""
    return descend(
        model, lambda step: model.losses(batch(tokens, model.shape.context, recipe, step)).mean(), recipe, **options
    )


def finish(steps: Iterator[tuple[int, float]], total: int, name: str = "training") -> list[float]:
    """Run a training to its end under a progress bar; the losses on the way."""
    losses = []
    with tqdm(total=total, desc=name, unit="step", leave=False) as bar:
        for step, loss in steps:
            losses.append(loss)
            bar.update(step + 1 - bar.n)
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
    return losses


def train(model: LanguageModel, tokens: Int[Tensor, " tokens"], recipe: Recipe, **options: object) -> list[float]:
    """`training` to the end."""
    return finish(training(model, tokens, recipe, **options), recipe.steps, model.shape.attention)


def save(path: Path, model: LanguageModel, optimizer: torch.optim.Optimizer, recipe: Recipe, step: int) -> None:
    """Keep weights and optimiser, whole or not at all; the checkpoint before stays beside it as NAME.before."""
    if path.exists():
        os.replace(path, beside(path, "before"))
    kept = {"shape": asdict(model.shape), "recipe": asdict(recipe), "step": step}
    with cache.whole(path) as scratch:
        torch.save(kept | {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, scratch)


def resume(path: Path, model: LanguageModel, optimizer: torch.optim.Optimizer, recipe: Recipe) -> int:
    """Load the newest checkpoint that is whole and of this model: its step, or 0. Others are named and put aside."""
    for candidate in (path, beside(path, "before")):
        if not candidate.exists():
            continue
        kept, fault = checkpoint_or_fault(candidate, {"shape": asdict(model.shape), "recipe": asdict(recipe)})
        if not fault:
            model.load_state_dict(kept["model"])
            optimizer.load_state_dict(kept["optimizer"])
            return kept["step"]
        aside = beside(candidate, "refused")
        os.replace(candidate, aside)
        print(f"The checkpoint {candidate} {fault}: not used, and kept as {aside.name}.")
    return 0


def checkpoint_or_fault(path: Path, expected: dict[str, dict]) -> tuple[dict, str]:
    """What a checkpoint holds, and what is wrong with it, if anything."""
    try:
        kept = torch.load(path, weights_only=True)
        for what, wanted in expected.items():
            for name, value in wanted.items():
                if kept[what][name] != value:
                    return {}, f"is of another {what} ({name} {kept[what][name]}, here {value})"
    except Exception as error:  # whatever pickle, zip or a missing key make of a damaged file
        return {}, f"is cut short or damaged ({type(error).__name__})"
    return kept, ""


def beside(path: Path, word: str) -> Path:
    return path.with_name(f"{path.name}.{word}")


# --- Use


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
    model: LanguageModel, tokenizer: Tokenizer, prompt: str, tokens: int = 100, temperature: float = 0.8, seed: int = 0
) -> str:
    """Go on from a prompt, token by token, each from the states that the tokens before left; stops at END."""
    end, rng, past = tokenizer.token_to_id(END), torch.Generator().manual_seed(seed), []
    ids = [end, *tokenizer.encode(prompt).ids]
    start = len(ids)
    for place in range(start + tokens - 1):
        logits, past = model.step(torch.tensor([ids[place]]), place, past)
        if place + 1 < len(ids):
            continue
        ids.append(torch.multinomial((logits[0] / temperature).softmax(-1), 1, generator=rng).item())
        if ids[-1] == end:
            break
    return tokenizer.decode(ids[start:])
