"""Encode a prefix once, then score what may follow many prompts in one packed pass.

The prefix (all demonstrations) is encoded once and its keys and values serve every query without being copied.
A batch of queries lies side by side in one row; a mask lets each see the prefix and itself, nothing else.
Only the logits that somebody reads are computed. Which families this is exact for, README says ("Families tried").
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from inspect import signature

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import DynamicCache, LlamaForCausalLM
from transformers.cache_utils import DynamicLayer
from transformers.models.xglm import modeling_xglm

from helpers.gpt.loading import GPT, free_memory
from helpers.gpt.verification import alike, once, probe, refusal, refused, window

PACKED_TOKENS = 512  # tokens in one packed row: enough to keep a CPU busy, little enough for its memory
CACHE = "cache" if "cache" in signature(LlamaForCausalLM.forward).parameters else "past_key_values"  # from 5.24 on

SLOW = "score by whole passes, which takes longer: slow=True."


@dataclass(frozen=True)
class Continuation:
    """What the model thinks of one continuation of one prompt."""

    logprobs: Float[Tensor, " length"]  # of each of its tokens, given all before
    greedy: bool  # the model's own first choice at every token
    following: int | None  # its first choice after the whole continuation, where asked


@dataclass(frozen=True)
class Packed:
    """Prompts and their continuations side by side in one row."""

    ids: Int[Tensor, "1 tokens"]
    positions: Int[Tensor, "1 tokens"]
    sees: Bool[Tensor, "tokens seen"]  # the prefix, then the row itself
    reads: list[
        list[list[int]]
    ]  # per prompt, per continuation: the places whose logits tell its tokens and what follows


def pack(prompts: list[list[int]], continuations: list[list[list[int]]], prefix: int, follow: bool) -> Packed:
    """Lay prompts out in one row: a continuation sees the prefix, its own prompt and itself."""
    ids, positions, segment, root, reads = [], [], [], [], []

    def lay(tokens: list[int], start: int, prompt: int) -> range:
        here = range(len(ids), len(ids) + len(tokens))
        ids.extend(tokens)
        positions.extend(range(start, start + len(tokens)))
        segment.extend([here.start] * len(tokens))
        root.extend([prompt] * len(tokens))
        return here

    for prompt, options in zip(prompts, continuations, strict=True):
        trunk = lay(prompt, prefix, len(ids))
        branches = [lay(o if follow else o[:-1], prefix + len(prompt), trunk.start) for o in options]
        reads.append([[trunk[-1], *branch] for branch in branches])
    segment, root, place = torch.tensor(segment), torch.tensor(root), torch.arange(len(ids))
    row = ((segment[:, None] == segment) | (root[:, None] == segment)) & (place[:, None] >= place)
    sees = torch.cat([torch.ones(len(ids), prefix, dtype=torch.bool), row], dim=1)
    return Packed(torch.tensor([ids]), torch.tensor([positions]), sees, reads)


class PrefixLayer(DynamicLayer):
    """One layer's keys and values of a prefix that every row sees and none extends."""

    def __init__(self, encoded: DynamicLayer) -> None:
        vars(self).update(vars(encoded))

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """What a row sees: the prefix, then the row itself, which is not kept."""
        if not self.is_initialized:  # nothing before the row, not even a BOS
            return keys, values
        return torch.cat([self.keys, keys], -2), torch.cat([self.values, values], -2)


@torch.no_grad()
def encode_prefix(model: GPT, ids: list[int]) -> DynamicCache:
    """The keys and values of every layer for a prefix, computed once."""
    prefix = DynamicCache(config=model.network.config)
    if ids:
        model.network(torch.tensor([ids], device=model.device), logits_to_keep=1, **{CACHE: prefix})
    prefix.layers = [PrefixLayer(layer) for layer in prefix.layers]
    return prefix


@torch.no_grad()
def logits_of(model: GPT, prefix: DynamicCache, row: Packed, rows: list[int]) -> Float[Tensor, "rows vocabulary"]:
    """Logits at the given places of a packed row."""
    out = model.network(
        row.ids.to(model.device),
        position_ids=row.positions.to(model.device),
        attention_mask=_mask(model, row.sees)[None, None].to(model.device),
        logits_to_keep=torch.tensor(rows, device=model.device),
        **{CACHE: prefix},
    )
    return out.logits[0].float().cpu()


def _mask(model: GPT, sees: Bool[Tensor, "tokens seen"]) -> Float[Tensor, "tokens seen"]:
    """What is added to the scores; before transformers 5.2 XGLM asks for ones where a token sees, and turns them so."""
    if model.network.config.model_type == "xglm" and hasattr(modeling_xglm, "_prepare_4d_causal_attention_mask"):
        return sees.to(model.dtype)
    return torch.full(sees.shape, torch.finfo(model.dtype).min, dtype=model.dtype).masked_fill_(sees, 0)


Look = Callable[[Packed, slice], AbstractContextManager]  # opened around the pass over a row of these prompts


def score(
    model: GPT,
    prefix: list[int],
    prompts: list[list[int]],
    continuations: list[list[list[int]]],
    follow: bool = False,
    look: Look | None = None,
) -> list[list[Continuation]]:
    """(eq. 4.1): score every continuation of every prompt after one common prefix (token ids throughout).

    `follow` also asks what the model would say after each continuation; `look` is opened around each packed pass.
    ValueError for a family, or a length, that packed passes aren't exact for: `model.slow` has whole ones instead.
    """
    if model.slow:
        return [
            [_whole_pass(model, prefix + prompt, option, follow) for option in options]
            for prompt, options in zip(prompts, continuations, strict=True)
        ]
    longest = len(prefix) + max(len(p) + sum(map(len, c)) for p, c in zip(prompts, continuations, strict=True))
    if longest > window(model):
        reason = f"some layers see only {window(model)} tokens at once; {longest} are to be read, answers side by side."
        raise refusal(model, reason, f"Take fewer shots, or {SLOW}")
    once(model, _check_packing)
    return _packed_passes(model, prefix, prompts, continuations, follow, look)


def _check_packing(model: GPT) -> bool | None:
    """Packed passes give what whole passes give; ValueError if not; None where there are no numbers."""
    parts = [probe(model)[start : start + 3] for start in range(0, 24, 3)]
    asked = parts[0] + parts[1], parts[2:4], [parts[4:6], [parts[6] + parts[7]]]

    def logprobs(scored: list[list[Continuation]]) -> Tensor:
        return torch.cat([continuation.logprobs for options in scored for continuation in options])

    plain = replace(model, slow=True)
    expected = logprobs(score(plain, *asked))
    advice = f"For scores without internals, {SLOW}"
    with refused(model, "its code doesn't run with the mask of packed passes", advice):
        packed = logprobs(_packed_passes(model, *asked))
    if not torch.cat([packed, expected]).isfinite().all():
        return None
    if not alike(model, packed, expected) and alike(model, logprobs(score(plain, *asked)), expected):
        raise refusal(
            model, "packed passes give other scores than whole ones: masks or places count otherwise.", advice
        )
    return True  # equal, or the model draws at random and there is nothing to compare with


def _whole_pass(model: GPT, prompt: list[int], option: list[int], follow: bool) -> Continuation:
    """The plain way: the network alone with one text, no cache, no mask."""
    with torch.no_grad():
        logits = model.network(torch.tensor([prompt + option], device=model.device), use_cache=False).logits[0]
    return _continuation(logits[len(prompt) - 1 :][: len(option) + follow].float().cpu().log_softmax(-1), option)


def _packed_passes(
    model: GPT,
    prefix: list[int],
    prompts: list[list[int]],
    continuations: list[list[list[int]]],
    follow: bool = False,
    look: Look | None = None,
) -> list[list[Continuation]]:
    """A row that doesn't fit the GPU's memory is halved; MemoryError where a single prompt doesn't fit."""
    keys_and_values, scored = encode_prefix(model, prefix), []
    room = min(_packed_tokens(model), window(model) - len(prefix))  # GPT-Neo counts its window in places of the row
    lengths = [len(p) + sum(map(len, c)) for p, c in zip(prompts, continuations, strict=True)]
    while len(scored) < len(prompts):
        here = slice(len(scored), len(scored) + _fitting(lengths[len(scored) :], room))
        row = pack(prompts[here], continuations[here], len(prefix), follow)
        rows = sorted({place for places in row.reads for reads in places for place in reads})
        try:
            with look(row, here) if look else nullcontext():
                logits = logits_of(model, keys_and_values, row, rows).log_softmax(-1)
        except torch.OutOfMemoryError as error:
            if here.stop - here.start == 1:
                raise MemoryError(
                    f"{model.name} has no room for one prompt of {lengths[here.start]} tokens after {len(prefix)}.\n"
                    "Close what else uses the GPU, take fewer shots, or load the model with dtype='bfloat16'."
                ) from error
            room = sum(lengths[here]) // 2
            continue
        at = dict(zip(rows, logits, strict=True))
        for places, options in zip(row.reads, continuations[here], strict=True):
            scored.append(
                [_continuation(torch.stack([at[p] for p in r]), o) for r, o in zip(places, options, strict=True)]
            )
    return scored


def _continuation(logprobs: Float[Tensor, "places vocabulary"], option: list[int]) -> Continuation:
    choices = logprobs.argmax(-1).tolist()
    following = choices[len(option)] if len(choices) > len(option) else None
    return Continuation(logprobs[range(len(option)), option], choices[: len(option)] == option, following)


def _fitting(lengths: list[int], room: int | float) -> int:
    """How many of these lengths, one after another, have at most `room` tokens in all; never none."""
    return max(1, int((torch.tensor(lengths).cumsum(0) <= room).sum()))


def _packed_tokens(model: GPT) -> int:
    """Tokens in one packed row: what suits a CPU's memory, or a sixteenth of a GPU's free memory."""
    if model.device.type != "cuda":
        return PACKED_TOKENS
    layers, heads, width = model.attention_shape
    token = 2 * layers * heads * width * model.dtype.itemsize  # keys and values; activations are of that order
    return int(min(16 * PACKED_TOKENS, max(PACKED_TOKENS, free_memory(str(model.device)) / 16 / token)))
