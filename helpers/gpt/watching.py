"""What attention did at chosen rows of a pass, seen through transformers' own interface."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.xglm.modeling_xglm import XGLMAttention

from helpers.gpt.loading import GPT

OUTPUTS = ("o_proj", "c_proj", "out_proj")  # what W_O is called in the families known here


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
