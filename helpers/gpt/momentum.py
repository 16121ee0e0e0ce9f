"""Momentum attention (eq. 6.2) in a real GPT: softmax attention + Σ_{i<t} η^{t−i} v_i, with an η for every head.

η starts at 0, where the model is what it was. It is the only parameter that `gpt.load` leaves free to learn.
"""

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.llama.modeling_llama import LlamaAttention

from helpers.attention import HIGHEST_ETA, momentum_scan


def momentum_forward(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: object
) -> tuple[Tensor, None]:
    """(eq. 6.2) as transformers asks for it: its own, and the momentum of all values before, those of a cache too."""
    rows, seen = query.shape[-2], value.shape[-2]
    if not plain(mask, rows, seen):
        raise ValueError(
            "Momentum sums over all tokens before, also what a mask hides: no padding, no packed rows, no static cache."
            "\nRead one sequence at a time, or several of one length: model.network(ids)."
        )
    out, _ = sdpa_attention_forward(module, query, key, value, mask, **options)
    momentum = momentum_scan(repeat_kv(value, module.num_key_value_groups), module.eta)
    return out + momentum[..., -rows:, :].transpose(1, 2), None  # [batch rows heads d_head]


def plain(mask: Tensor | None, rows: int, seen: int) -> bool:
    """Do the last rows of sequences see all before them, and only that? Without a mask they are all rows, or one."""
    if mask is None:
        return rows in (1, seen)
    sees = mask if mask.dtype == torch.bool else mask == 0
    return bool((sees == torch.ones(rows, seen, dtype=torch.bool, device=mask.device).tril(seen - rows)).all())


AttentionInterface.register("momentum", momentum_forward)
AttentionMaskInterface.register("momentum", sdpa_mask)


def add_momentum(network: PreTrainedModel) -> None:
    """Give every layer of a network of Llama's family momentum, η = 0. ValueError for another family."""
    layers = [module for module in network.modules() if isinstance(module, LlamaAttention)]
    if not layers:
        raise ValueError(f"{type(network).__name__} can't have momentum: only Llama's family can, as the course's GPT.")
    for layer in layers:
        heads, exact = layer.config.num_attention_heads, torch.promote_types(network.dtype, torch.float32)
        layer.eta = nn.Parameter(torch.zeros(heads, dtype=exact, device=network.device))
    network.set_attn_implementation("momentum")


def etas(network: PreTrainedModel) -> list[nn.Parameter]:
    """η [heads] of every layer; none in a network without momentum."""
    return [module.eta for module in network.modules() if hasattr(module, "eta")]


@torch.no_grad()
def clip(network: PreTrainedModel) -> None:
    """Bring every η back into [0, HIGHEST_ETA], as is due after each step of learning."""
    for eta in etas(network):
        eta.clamp_(0, HIGHEST_ETA)
