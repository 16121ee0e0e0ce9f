"""A real GPT: load it, encode a prefix once, score what may follow many prompts in one packed pass.

The prefix (all demonstrations) is encoded once and its keys and values serve every query without being copied.
A batch of queries lies side by side in one row; a mask lets each see the prefix and itself, nothing else.
Only the logits that somebody reads are computed.
"""

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from helpers import DEFAULT_MODEL, cache

KNOWN = {  # name: (where it comes from, parameters); the default comes with set-up, the others from the hub
    DEFAULT_MODEL: ("set-up", 135e6),
    "fairseq-1.3b": ("KoboldAI/fairseq-dense-1.3B", 1.3e9),  # the two models of Dai et al. (2022)
    "fairseq-2.7b": ("KoboldAI/fairseq-dense-2.7B", 2.7e9),
    "smollm2-1.7b": ("HuggingFaceTB/SmolLM2-1.7B", 1.7e9),
    "gpt2": ("openai-community/gpt2", 124e6),
}
PACKED_TOKENS = 512  # tokens in one packed row: enough to keep a CPU busy, little enough for its memory


@dataclass(frozen=True)
class GPT:
    """A causal language model of transformers with its tokenizer."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str

    @property
    def device(self) -> torch.device:
        return self.network.device

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    @property
    def context(self) -> int:
        """How many tokens the model can read at once."""
        return self.network.config.max_position_embeddings

    @property
    def bos(self) -> list[int]:
        """The token that every sequence starts with, as in the paper's code; empty for a tokenizer without one."""
        start = self.tokenizer.bos_token_id
        return [] if start is None else [start]

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of text, no special token added."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def fingerprint(self) -> str:
        """A hash of every bit of every weight: two are equal only if the model is unchanged."""
        seen = hashlib.blake2b(digest_size=16)
        for weight in self.network.parameters():
            seen.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return seen.hexdigest()


def load(name: str = "auto", device: str = "auto", dtype: str | torch.dtype = "auto") -> GPT:
    """Load a causal language model: a name of `KNOWN`, a folder, or a hub name such as "org/model".

    "auto": on a GPU with room for it the paper's 1.3B model if this machine has it, else the default; float32 on a CPU.
    Raises ValueError for an unknown name (with the nearest ones), FileNotFoundError if the weights aren't here.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    name = _choose(device) if name == "auto" else name
    source = _source(name)
    if dtype == "auto":
        dtype = torch.float32 if _room(device) > 16 * KNOWN.get(name, ("", 135e6))[1] else torch.bfloat16
    elif isinstance(dtype, str):
        dtype = getattr(torch, dtype)
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        network = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, weights_only=True)
    except OSError as error:
        raise FileNotFoundError(
            f"{name} is not on this machine, or only in part.\nSet HF_HUB_OFFLINE=0 before Python starts to let it be "
            f"downloaded, or use the course's own model: gpt.load({DEFAULT_MODEL!r})."
        ) from error
    return GPT(network.to(device).eval().requires_grad_(False), tokenizer, name)


def _choose(device: str) -> str:
    """The largest model worth having on this device that needs no download."""
    from huggingface_hub import try_to_load_from_cache

    larger = "fairseq-1.3b"
    here = isinstance(try_to_load_from_cache(KNOWN[larger][0], "config.json"), str)
    return larger if here and device.startswith("cuda") and _room(device) > 8 * KNOWN[larger][1] else DEFAULT_MODEL


def _room(device: str) -> float:
    """Free memory in bytes; a CPU always takes float32, for half precision is slower there."""
    return torch.cuda.mem_get_info()[0] if device.startswith("cuda") else float("inf")


def _source(name: str) -> str:
    """Where the files of a model are: a folder or a hub name."""
    if name == DEFAULT_MODEL:
        here = cache.folder("models", DEFAULT_MODEL)
        if not here.exists():
            raise FileNotFoundError(
                f"The course's model is not here yet ({here}).\nFetch it once (93 MB): python -m helpers setup"
            )
        return str(here)
    if name in KNOWN:
        return KNOWN[name][0]
    if Path(name).is_dir() or "/" in name:
        return name
    near = difflib.get_close_matches(name.lower(), KNOWN, n=3, cutoff=0.3) or sorted(KNOWN)
    raise ValueError(
        f"There is no model called {name!r}. Nearest: {', '.join(near)}; or give a folder, or a hub name with a slash."
    )


@torch.no_grad()
def complete(model: GPT, prompt: str, tokens: int = 8) -> str:
    """What the model itself goes on with after `prompt`: its first choice, `tokens` times."""
    if not prompt.strip():
        raise ValueError("The prompt is empty: give the model something to go on with.")
    ids = torch.tensor([model.bos + model.encode(prompt)], device=model.device)
    ends = model.tokenizer.eos_token_id
    out = model.network.generate(
        ids, max_new_tokens=tokens, do_sample=False, attention_mask=torch.ones_like(ids), pad_token_id=ends
    )
    return model.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


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


@torch.no_grad()
def encode_prefix(model: GPT, ids: list[int]) -> DynamicCache:
    """The keys and values of every layer for a prefix, computed once."""
    keys_and_values = DynamicCache(config=model.network.config)
    if ids:
        model.network(torch.tensor([ids], device=model.device), past_key_values=keys_and_values, logits_to_keep=1)
    return keys_and_values


@torch.no_grad()
def logits_of(model: GPT, prefix: DynamicCache, row: Packed, rows: list[int]) -> Float[Tensor, "rows vocabulary"]:
    """Logits at the given places of a packed row; the prefix is left as it was."""
    mask = torch.full(row.sees.shape, torch.finfo(model.dtype).min, dtype=model.dtype).masked_fill_(row.sees, 0)
    out = model.network(
        row.ids.to(model.device),
        position_ids=row.positions.to(model.device),
        attention_mask=mask[None, None].to(model.device),
        past_key_values=prefix,
        logits_to_keep=torch.tensor(rows, device=model.device),
    )
    prefix.crop(-row.ids.shape[1])
    return out.logits[0].float().cpu()


def score(
    model: GPT, prefix: list[int], prompts: list[list[int]], continuations: list[list[list[int]]], follow: bool = False
) -> list[list[Continuation]]:
    """Score every continuation of every prompt after one common prefix (token ids throughout).

    `follow` also asks what the model would say after each continuation.
    """
    keys_and_values, scored = encode_prefix(model, prefix), []
    for first, last in _batches([len(p) + sum(map(len, c)) for p, c in zip(prompts, continuations, strict=True)]):
        row = pack(prompts[first:last], continuations[first:last], len(prefix), follow)
        rows = sorted({place for places in row.reads for reads in places for place in reads})
        logits = dict(zip(rows, logits_of(model, keys_and_values, row, rows).log_softmax(-1), strict=True))
        for places, options in zip(row.reads, continuations[first:last], strict=True):
            scored.append(
                [_continuation(torch.stack([logits[p] for p in r]), o) for r, o in zip(places, options, strict=True)]
            )
    return scored


def _continuation(logprobs: Float[Tensor, "places vocabulary"], option: list[int]) -> Continuation:
    choices = logprobs.argmax(-1).tolist()
    following = choices[len(option)] if len(choices) > len(option) else None
    return Continuation(logprobs[range(len(option)), option], choices[: len(option)] == option, following)


def _batches(lengths: list[int]) -> list[tuple[int, int]]:
    """Cut a list of lengths into runs of at most `PACKED_TOKENS` tokens, never an empty one."""
    cuts, tokens = [0], 0
    for place, length in enumerate(lengths):
        if tokens and tokens + length > PACKED_TOKENS:
            cuts.append(place)
            tokens = 0
        tokens += length
    return list(zip(cuts, [*cuts[1:], len(lengths)], strict=True))
