"""What attention did at chosen rows of a pass, seen through transformers' own interface."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache, PreTrainedConfig, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.xglm.modeling_xglm import XGLMAttention

from helpers.attention import momentum_scan
from helpers.gpt.loading import GPT
from helpers.gpt.verification import alike, once, probe, refused, window

OUTPUTS = ("o_proj", "c_proj", "out_proj", "dense")  # what W_O is called in the families known here


@dataclass(frozen=True)
class Attended:
    """What one layer's attention did at some rows of a forward pass, in float32."""

    outputs: Float[Tensor, "rows d"]  # after W_O, before the residual
    queries: Float[Tensor, "rows heads d_head"]  # before rotary positions
    scores: Float[Tensor, "heads rows seen"]  # before softmax, scaled; over all that lies before and in the row


@dataclass(frozen=True)
class Call:
    """One layer's attention to one sequence, as transformers computes it."""

    module: nn.Module
    query: Float[Tensor, "heads rows d_head"]  # after rotary positions
    key: Float[Tensor, "kv_heads seen d_head"]
    value: Float[Tensor, "kv_heads seen d_head"]
    heads: Float[Tensor, "rows heads d_head"]  # what goes into W_O
    scaling: float
    cap: float | None  # Gemma 2: scores go through cap · tanh(scores / cap)
    angles: tuple[Tensor, Tensor] | None  # cosines and sines [1 rows d_turned] of rotary positions, where there are any

    def repeated(self, shared: Float[Tensor, "kv_heads seen d_head"]) -> Float[Tensor, "heads seen d_head"]:
        """Keys or values once for every query head that shares them."""
        return shared.repeat_interleave(len(self.query) // len(shared), 0)

    def scores(self, at: Tensor) -> Float[Tensor, "heads rows seen"]:
        """What goes into the softmax at these rows: scaled q·k, in float32."""
        scaled = self.query[:, at].float() * self.scaling
        grouped = scaled.reshape(len(self.key), -1, scaled.shape[-1])  # heads that share a key head: one product
        scores = (grouped @ self.key.float().mT).reshape(*scaled.shape[:2], -1)
        return scores if self.cap is None else self.cap * (scores / self.cap).tanh()

    def unrotated(self, at: Tensor) -> Float[Tensor, "heads rows d_head"]:
        """Queries as they were before rotary positions: turned back by the same angles, as the family turns."""
        cosines, sines = (angles[:, at] for angles in self.angles)
        turn = sys.modules[type(self.module).__module__].apply_rotary_pos_emb
        turned, rest = self.query[None, :, at].tensor_split([cosines.shape[-1]], -1)
        return torch.cat([turn(turned, turned, cosines, -sines)[0], rest], -1)[0]


@contextmanager
def watch(model: GPT, rows: Sequence[int], keep: Callable[[int, Attended], None]) -> Iterator[None]:
    """Hand what attention does at `rows` to `keep(layer, attended)`, layer by layer.

    Attention goes through transformers' own interface and stays what it was, to the last bit.
    Raises ValueError where a model's heads can't be looked into, or an activation is nan or infinite.
    """
    rotary, most = once(model, _rotary_layers), window(model)
    at, seen = torch.tensor(rows, device=model.device), set()

    @torch.no_grad()
    def see(call: Call, outputs: Tensor) -> None:
        layer = call.module.layer_idx
        queries = call.unrotated(at) if layer in rotary else call.query[:, at]
        attended = Attended(outputs[at].float(), queries.transpose(0, 1).float(), call.scores(at))
        _check_finite(model, layer, *vars(attended).values())
        if (tokens := call.key.shape[1]) > most:
            raise ValueError(
                f"{model.name} sees only {most} tokens at once in some layers, not all {tokens}.\nTake a shorter text."
            )
        seen.add(layer)
        keep(layer, attended)

    with _attending(model.network, see):
        yield
    _check_layers(model, len(seen))


def _check_finite(model: GPT, layer: int, *tensors: Tensor) -> None:
    if not torch.stack([tensor.sum() for tensor in tensors]).isfinite().all():
        raise ValueError(f"{model.name} computes nan or infinity in layer {layer}: nothing to measure.")


def _check_layers(model: GPT, seen: int) -> None:
    if seen < (layers := model.attention_shape[0]):
        names = ", ".join(OUTPUTS)
        raise ValueError(f"{layers - seen} of {layers} layers don't attend by transformers' interface, then {names}.")


@torch.no_grad()
def _rotary_layers(model: GPT) -> frozenset[int]:
    """The layers that turn their queries by rotary positions. ValueError where attention isn't what `Attended` says.

    On a short text: watching changes no logit, the scores' softmax mixes the values, and queries turned back are the
    same wherever the text stands.
    """
    ids = torch.tensor([probe(model)], device=model.device)
    places = torch.arange(ids.shape[1], device=model.device)[None]
    with refused(
        model, "its heads can't be looked into", "Measure without internals, or take another family (README)."
    ):
        calls, logits = _recorded(model, ids)
        _check_layers(model, len(calls))
        for call in calls:
            _check_softmax(model, call)
        if not alike(model, logits, model.network(ids, use_cache=False).logits):
            raise ValueError("its logits are others when it is looked into.")
        moved, there = _recorded(model, ids, position_ids=places + 32)
        pairs, relative = zip(calls, moved, strict=True), alike(model, there, logits)
        return frozenset(call.module.layer_idx for call, other in pairs if _rotates(model, call, other, relative))


def _recorded(model: GPT, ids: Tensor, **options: Tensor) -> tuple[list[Call], Tensor]:
    """All layers' calls in one plain pass, and its logits."""
    calls = []
    with _attending(model.network, lambda call, _: calls.append(call)):
        return calls, model.network(ids, use_cache=False, **options).logits


def _check_softmax(model: GPT, call: Call) -> None:
    """A head puts out softmax(scores) v, and momentum where it has that: no bias, no window, nothing else."""
    _check_finite(model, call.module.layer_idx, call.query, call.heads)
    every, value = torch.arange(len(call.heads), device=model.device), call.repeated(call.value).float()
    heads = call.scores(every).masked_fill(every[:, None] < every, float("-inf")).softmax(-1) @ value
    if hasattr(call.module, "eta"):
        heads += momentum_scan(value, call.module.eta)
    if not alike(model, call.heads.transpose(0, 1), heads):
        raise ValueError("they don't put out softmax(scaled q·k) v, there is a bias, a gate or a window.")


def _rotates(model: GPT, call: Call, moved: Call, relative: bool) -> bool:
    """Does this layer turn its queries? ValueError where it does and they can't be turned back."""
    if alike(model, moved.query, call.query) or (call.angles is None and not relative):
        return False
    every = torch.arange(len(call.heads), device=model.device)
    here, there = (c.unrotated(every) if c.angles else c.query * torch.nan for c in (call, moved))
    if not (alike(model, there, here) and alike(model, here.norm(dim=-1), call.query.norm(dim=-1))):
        raise ValueError("its queries can't be turned back to what they were before rotary positions.")
    return True


@dataclass(frozen=True)
class Heads:
    """What every head's attention reads of one text, keys and values repeated for the query heads that share them."""

    q: Float[Tensor, "layers heads n d_head"]  # after rotary positions
    k: Float[Tensor, "layers heads n d_head"]
    v: Float[Tensor, "layers heads n d_head"]


@torch.no_grad()
def heads(model: GPT, text: str) -> Heads:
    """Queries, keys and values of every layer and head for one text, in float32 on the CPU."""
    once(model, _rotary_layers)
    calls, _ = _recorded(model, torch.tensor([model.bos + model.encode(text)], device=model.device))
    read = [(call.query, call.repeated(call.key), call.repeated(call.value)) for call in calls]
    return Heads(*(torch.stack(tensors).float().cpu() for tensors in zip(*read, strict=True)))


@contextmanager
def _attending(network: PreTrainedModel, see: Callable[[Call, Tensor], None]) -> Iterator[None]:
    """Show every layer's attention and W_O's outputs [rows d] to `see`; leave the network as it was."""
    config, former, angles, calls = network.config, network.config._attn_implementation, {}, {}
    name = f"watched {id(see)}"

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: object
    ) -> tuple:
        eager = getattr(sys.modules[type(module).__module__], "eager_attention_forward", sdpa_attention_forward)
        out, weights = AttentionInterface().get(former, eager)(module, query, key, value, mask, **options)
        scaling = options.get("scaling") or query.shape[-1] ** -0.5
        of_one = (query[0], key[0], value[0], out[0])
        calls[_output_projection(module)] = Call(module, *of_one, scaling, options.get("softcap"), angles.get(module))
        return out, weights

    def projected(module: nn.Module, _: tuple, outputs: Tensor) -> None:
        if module in calls:
            see(calls.pop(module), outputs[0])

    def enter(module: nn.Module, _: tuple, options: dict) -> None:
        angles[module] = options.get("position_embeddings")

    with ExitStack() as undo:
        for interface, function in (
            (AttentionInterface, attention),
            (AttentionMaskInterface, AttentionMaskInterface().get(former, sdpa_mask)),
        ):
            interface.register(name, function)
            undo.callback(interface._global_mapping.pop, name)  # there is no public way to forget a function
        for module in network.modules():
            if project := _output_projection(module):
                undo.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
                undo.callback(project.register_forward_hook(projected).remove)
            if isinstance(module, XGLMAttention) and "forward" not in vars(module):
                module.forward = partial(_xglm_attention, module, config)
                undo.callback(vars(module).pop, "forward")
        undo.callback(setattr, config, "_attn_implementation", former)
        config._attn_implementation = name
        yield


def _output_projection(module: nn.Module) -> nn.Module | None:
    return next((child for name, child in module.named_children() if name in OUTPUTS), None)


def _xglm_attention(
    self: XGLMAttention,
    config: PreTrainedConfig,
    hidden_states: Tensor,
    past_key_values: DynamicCache | None = None,
    attention_mask: Tensor | None = None,
    cache: DynamicCache | None = None,  # its name since transformers 5.24
    **_: object,
) -> tuple:
    """The paper's own architecture still computes its attention by hand in transformers 5; here by the interface."""
    split = (*hidden_states.shape[:-1], self.num_heads, self.head_dim)
    query, key, value = (
        project(hidden_states).view(split).transpose(1, 2) for project in (self.q_proj, self.k_proj, self.v_proj)
    )
    if (cache := past_key_values if cache is None else cache) is not None:
        key, value = cache.update(key, value, self.layer_idx)
    attend = AttentionInterface()[config._attn_implementation]
    out, weights = attend(self, query, key, value, attention_mask, scaling=self.scaling)
    return self.out_proj(out.flatten(2)), weights
