"""A prompt as a change of weights: for one query, exactly, a rank-one patch of the MLP and a shift in every layer.

Dherin et al. (2507.16003; 2511.17864 for RMSNorm and gated MLPs). Attention keeps its softmax; nothing is relaxed.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers import dual
from helpers.gpt.finetuning import restored
from helpers.gpt.loading import GPT
from helpers.gpt.verification import alike, refusal


@dataclass(frozen=True)
class Patch:
    """A change of every layer: ΔW = left ⊗ right of the MLP's first weights, and a shift of its output."""

    left: Float[Tensor, "layers rank m"]  # gate and up projection, one above the other
    right: Float[Tensor, "layers rank d"]
    shift: Float[Tensor, "layers d"]


def mean(patches: Sequence[Patch]) -> Patch:
    """The average of several patches; its rank is their number."""
    left, right = (torch.cat([getattr(patch, side) for patch in patches], 1) for side in ("left", "right"))
    return Patch(left / len(patches), right, torch.stack([patch.shift for patch in patches]).mean(0))


@torch.no_grad()
def absorb(model: GPT, prompt: str, query: str) -> Patch:
    """The patch (eq. 3.8) under which `query` alone gets, at its last token, the logits that it gets after `prompt`.

    Layer by layer, in the patched model: `before` is the MLP's input there, `after` what it was behind the prompt.
    Raises ValueError for a model without gated MLPs or one whose logits come out otherwise, or an empty query.
    """
    layers, found = _gated(model), []
    seen = []  # per layer: the residual stream after attention and the MLP's input, behind the prompt
    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(
                layer.post_attention_layernorm.register_forward_hook(
                    lambda _, x, out: seen.append((x[0][0, -1], out[0, -1]))
                ).remove
            )
        expected = next_token(model, prompt + query)

    def patch(layer: nn.Module, before: Tensor, residual: Tensor) -> None:
        """Between attention and MLP: this layer's patch goes into its weights before they are used."""
        residual_after, after = seen[len(found)]
        dw = dual.rank_one_patch(_first_weights(layer), before, after)
        found.append(((dw @ before)[None], (before / before.square().sum())[None], residual_after - residual))
        _change(layer, dw)

    with restored(_weights(layers)), ExitStack() as hooks:
        for layer in layers:
            watch = layer.post_attention_layernorm.register_forward_hook(
                lambda _, x, out, layer=layer: patch(layer, out[0, -1], x[0][0, -1])
            )
            shift = layer.mlp.register_forward_hook(lambda _, x, out: out + found[-1][2])
            hooks.callback(watch.remove)
            hooks.callback(shift.remove)
        logits = next_token(model, query)
    if not alike(model, logits, expected):
        reason = "under the patch the query's logits are not those that it gets after the prompt."
        raise refusal(model, reason, "Patch a family whose MLPs read the normed residual, such as Llama, in float32.")
    return Patch(*(torch.stack(parts) for parts in zip(*found, strict=True)))


@contextmanager
def patched(model: GPT, patch: Patch) -> Iterator[None]:
    """Let the model have this patch, for every token it reads; afterwards its weights are bitwise as before."""
    layers = _gated(model)
    with restored(_weights(layers)), ExitStack() as hooks:
        for layer, left, right, shift in zip(layers, patch.left, patch.right, patch.shift, strict=True):
            _change(layer, left.mT @ right)
            moved = layer.mlp.register_forward_hook(lambda _, x, out, shift=shift: out + shift)
            hooks.callback(moved.remove)
        yield


@torch.no_grad()
def next_token(model: GPT, text: str) -> Float[Tensor, " vocabulary"]:
    """Logits of the token after a text."""
    if not text.strip():
        raise ValueError("The text is empty: give the model something to go on with.")
    ids = torch.tensor([model.bos + model.encode(text)], device=model.device)
    return model.network(ids, use_cache=False, logits_to_keep=1).logits[0, -1].float().cpu()


def _gated(model: GPT) -> nn.ModuleList:
    layers = getattr(model.network.base_model, "layers", ())
    norm = getattr(layers[0], "post_attention_layernorm", None) if layers else None
    if norm is None or not hasattr(getattr(layers[0], "mlp", None), "gate_proj"):
        raise ValueError(
            f"{type(model.network).__name__} has no gated MLPs with a norm before them.\n"
            "Patch a model of Llama's family, such as the course's own: gpt.load()."
        )
    return layers


def _weights(layers: nn.ModuleList) -> list[nn.Parameter]:
    return [p.weight for layer in layers for p in (layer.mlp.gate_proj, layer.mlp.up_proj)]


def _first_weights(layer: nn.Module) -> Float[Tensor, "m d"]:
    return torch.cat([layer.mlp.gate_proj.weight, layer.mlp.up_proj.weight])


@torch.no_grad()
def _change(layer: nn.Module, dw: Float[Tensor, "m d"]) -> None:
    for projection, part in zip((layer.mlp.gate_proj, layer.mlp.up_proj), dw.chunk(2), strict=True):
        projection.weight += part
