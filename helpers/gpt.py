"""A real GPT: load it, encode a prefix once, score what may follow many prompts in one packed pass.

The prefix (all demonstrations) is encoded once and its keys and values serve every query without being copied.
A batch of queries lies side by side in one row; a mask lets each see the prefix and itself, nothing else.
Only the logits that somebody reads are computed. `watch` shows what attention did at chosen rows of a pass.
"""

import difflib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.xglm.modeling_xglm import XGLMAttention
from transformers.utils import logging

from helpers import DEFAULT_MODEL, cache, gpt_momentum

KNOWN = {  # name: (where it comes from, parameters); the default comes with set-up, the others from the hub
    DEFAULT_MODEL: ("set-up", 135e6),
    "fairseq-1.3b": ("KoboldAI/fairseq-dense-1.3B", 1.3e9),  # the two models of Dai et al. (2022)
    "fairseq-2.7b": ("KoboldAI/fairseq-dense-2.7B", 2.7e9),
    "smollm2-1.7b": ("HuggingFaceTB/SmolLM2-1.7B", 1.7e9),
    "gpt2": ("openai-community/gpt2", 124e6),
}
PACKED_TOKENS = 512  # tokens in one packed row: enough to keep a CPU busy, little enough for its memory
OUTPUTS = ("o_proj", "c_proj", "out_proj")  # what W_O is called in the families known here


@dataclass(frozen=True)
class GPT:
    """A causal language model of transformers with its tokenizer."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    starts: bool = True  # every sequence starts with one BOS, as in the paper's code

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
        """The token that every sequence starts with; empty for a tokenizer without one."""
        start = self.tokenizer.bos_token_id
        return [start] if self.starts and start is not None else []

    @property
    def attention_shape(self) -> tuple[int, int, int]:
        """Layers, query heads a layer, and the width of one head."""
        config = self.network.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return config.num_hidden_layers, config.num_attention_heads, width

    def encode(self, text: str) -> list[int]:
        """Token ids of a piece of text, no special token added."""
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def fingerprint(self) -> str:
        """A hash of every bit of every weight: two are equal only if the model is unchanged."""
        seen = hashlib.blake2b(digest_size=16)
        for weight in self.network.parameters():
            seen.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        return seen.hexdigest()


def load(
    name: str = "auto", device: str = "auto", dtype: str | torch.dtype = "auto", attention: str = "softmax"
) -> GPT:
    """Load a causal language model: a name of `KNOWN`, a folder, or a hub name such as "org/model".

    "auto": on a GPU with room for it the paper's 1.3B model if this machine has it, else the default; float32 on a CPU.
    `attention="momentum"` gives every head an η to learn, from 0 (6.2; only in Llama's family, as the default is).
    Raises ValueError for an unknown name (with the nearest ones), FileNotFoundError if the weights aren't here.
    """
    if attention not in ("softmax", "momentum"):
        raise ValueError(f"There is no attention called {attention!r} for a real GPT. There are: softmax, momentum.")
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
    network.to(device).eval().requires_grad_(False)
    if attention == "momentum":
        gpt_momentum.put_into(network)
    return GPT(network, tokenizer, name)


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
        model.network(torch.tensor([ids], device=model.device), past_key_values=prefix, logits_to_keep=1)
    prefix.layers = [PrefixLayer(layer) for layer in prefix.layers]
    return prefix


@torch.no_grad()
def logits_of(model: GPT, prefix: DynamicCache, row: Packed, rows: list[int]) -> Float[Tensor, "rows vocabulary"]:
    """Logits at the given places of a packed row."""
    mask = torch.full(row.sees.shape, torch.finfo(model.dtype).min, dtype=model.dtype).masked_fill_(row.sees, 0)
    out = model.network(
        row.ids.to(model.device),
        position_ids=row.positions.to(model.device),
        attention_mask=mask[None, None].to(model.device),
        past_key_values=prefix,
        logits_to_keep=torch.tensor(rows, device=model.device),
    )
    return out.logits[0].float().cpu()


Look = Callable[[Packed, slice], AbstractContextManager]  # opened around the pass over a row of these prompts


def score(
    model: GPT,
    prefix: list[int],
    prompts: list[list[int]],
    continuations: list[list[list[int]]],
    follow: bool = False,
    look: Look | None = None,
) -> list[list[Continuation]]:
    """(4.1): score every continuation of every prompt after one common prefix (token ids throughout).

    `follow` also asks what the model would say after each continuation; `look` is opened around each packed pass.
    A row that doesn't fit the GPU's memory is halved; MemoryError where a single prompt doesn't fit.
    """
    keys_and_values, scored, room = encode_prefix(model, prefix), [], _packed_tokens(model)
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


def _fitting(lengths: list[int], room: int) -> int:
    """How many of these lengths, one after another, have at most `room` tokens in all; never none."""
    return max(1, int((torch.tensor(lengths).cumsum(0) <= room).sum()))


def _packed_tokens(model: GPT) -> int:
    """Tokens in one packed row: what suits a CPU's memory, or a sixteenth of a GPU's free memory."""
    if model.device.type != "cuda":
        return PACKED_TOKENS
    layers, heads, width = model.attention_shape
    token = 2 * layers * heads * width * model.dtype.itemsize  # keys and values; activations are of that order
    return int(min(16 * PACKED_TOKENS, max(PACKED_TOKENS, _room(str(model.device)) / 16 / token)))


@dataclass(frozen=True)
class Attended:
    """What one layer's attention did at some rows of a forward pass, in float32."""

    outputs: Float[Tensor, "rows d"]  # after W_O, before the residual
    queries: Float[Tensor, "rows heads d_head"]  # before rotary positions
    scores: Float[Tensor, "heads rows seen"]  # before softmax, scaled; over all that lies before and in the row


@contextmanager
def watch(
    model: GPT, rows: Sequence[int], positions: Sequence[int], keep: Callable[[int, Attended], None]
) -> Iterator[None]:
    """Hand what attention does at `rows`, which stand at `positions`, to `keep(layer, attended)`, layer by layer.

    Attention goes through transformers' own interface and stays what it was, to the last bit.
    Raises ValueError where a model's heads can't be looked into, or an activation is nan or infinite.
    """
    seen, at, attend = set(), torch.tensor(rows, device=model.device), _attention(model)
    turn = _rotation(model, positions)

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: object
    ) -> tuple:
        out, weights = attend(module, query, key, value, mask, **options)
        with torch.no_grad():
            attended = _attended(module, query[0, :, at], key[0], out[0, at], turn, options.get("scaling"))
        if not torch.stack([tensor.sum() for tensor in vars(attended).values()]).isfinite().all():
            raise ValueError(f"{model.name} computes nan or infinity in layer {module.layer_idx}: nothing to measure.")
        seen.add(module.layer_idx)
        keep(module.layer_idx, attended)
        return out, weights

    with _attending(model.network, attention):
        yield
    if len(seen) < model.network.config.num_hidden_layers:
        raise ValueError(
            f"{type(model.network).__name__} does not compute its attention through transformers' attention interface: "
            f"its heads can't be looked into."
        )


Rotation = tuple[Float[Tensor, "1 rows d_head"], Float[Tensor, "1 rows d_head"]]  # cosines and sines of its angles


def _attended(
    module: nn.Module, query: Tensor, key: Tensor, out: Tensor, turn: Rotation | None, scaling: float | None
) -> Attended:
    """From queries [heads rows d_head], keys [kv_heads seen d_head] and head outputs [rows heads d_head]."""
    scaled = query.float() * (scaling or query.shape[-1] ** -0.5)
    grouped = scaled.reshape(key.shape[0], -1, query.shape[-1])  # query heads that share a key head: one product
    scores = (grouped @ key.float().mT).reshape(*query.shape[:2], -1)
    project = next((child for name, child in module.named_children() if name in OUTPUTS), None)
    if project is None:
        raise ValueError(f"{type(module).__name__} has no output projection known here ({', '.join(OUTPUTS)}).")
    return Attended(project(out.flatten(1)).float(), _unrotated(query, turn).float(), scores)


def _rotation(model: GPT, positions: Sequence[int]) -> Rotation | None:
    """By which angles rotary positions turn query vectors; None in a model without."""
    rotary = getattr(model.network.base_model, "rotary_emb", None)
    places = torch.tensor([positions], device=model.device)
    return None if rotary is None else rotary(torch.empty(0, dtype=model.dtype, device=model.device), places)


def _unrotated(query: Float[Tensor, "heads rows d_head"], turn: Rotation | None) -> Float[Tensor, "rows heads d_head"]:
    """Query vectors as they were before rotary positions turned them: turned back by the same angles."""
    if turn is not None:
        query = apply_rotary_pos_emb(query[None], query[None], turn[0], -turn[1])[0][0]
    return query.transpose(0, 1)


@dataclass(frozen=True)
class Heads:
    """What every head's attention reads of one text, keys and values repeated for the query heads that share them."""

    q: Float[Tensor, "layers heads n d_head"]  # after rotary positions
    k: Float[Tensor, "layers heads n d_head"]
    v: Float[Tensor, "layers heads n d_head"]


@torch.no_grad()
def heads(model: GPT, text: str) -> Heads:
    """Queries, keys and values of every layer and head for one text, in float32 on the CPU."""
    read, attend = [], _attention(model)

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: object
    ) -> tuple:
        shared = query.shape[1] // key.shape[1]
        of_heads = (query[0], key[0].repeat_interleave(shared, 0), value[0].repeat_interleave(shared, 0))
        read.append([tensor.float().cpu() for tensor in of_heads])
        return attend(module, query, key, value, mask, **options)

    with _attending(model.network, attention):
        model.network.base_model(torch.tensor([model.bos + model.encode(text)], device=model.device), use_cache=False)
    return Heads(*(torch.stack(tensors) for tensors in zip(*read, strict=True)))


def _attention(model: GPT) -> Callable:
    """What a network takes its attention from, in torch's fast form: by hand or eager is the same, slower."""
    return AttentionInterface().get(model.network.config._attn_implementation, sdpa_attention_forward)


@contextmanager
def _attending(network: PreTrainedModel, attention: Callable) -> Iterator[None]:
    """Let a network take its attention from this function, through transformers' interface."""
    former = network.config._attn_implementation
    by_hand = [module for module in network.modules() if isinstance(module, XGLMAttention)]
    AttentionInterface.register("watched", attention)
    AttentionMaskInterface.register("watched", sdpa_mask)
    try:
        for module in by_hand:
            module.forward = _xglm_attention.__get__(module)
        if not by_hand and network._can_set_attn_implementation():
            network.set_attn_implementation("watched")
        yield
    finally:
        for module in by_hand:
            vars(module).pop("forward", None)
        if not by_hand and network._can_set_attn_implementation():
            network.set_attn_implementation(former)
        AttentionInterface.register("watched", sdpa_attention_forward)  # what was kept is not held here any longer


def _xglm_attention(
    self: XGLMAttention,
    hidden_states: Tensor,
    past_key_values: DynamicCache | None,
    attention_mask: Tensor | None,
    **_: object,
) -> tuple:
    """The paper's own architecture still computes its attention by hand in transformers 5; here by the interface."""
    split = (*hidden_states.shape[:-1], self.num_heads, self.head_dim)
    query, key, value = (
        project(hidden_states).view(split).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    if past_key_values is not None:
        key, value = past_key_values.update(key, value, self.layer_idx)
    attend = AttentionInterface()["watched"]
    out, weights = attend(self, query, key, value, attention_mask, scaling=self.scaling)
    return self.out_proj(out.flatten(2)), weights
