"""Which model this is: all that decides its numbers, so that an answer is never taken for another model's."""

import json
import sys
from collections.abc import Iterator
from functools import partial

import torch
import transformers
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedConfig

from helpers.gpt.loading import GPT, bits
from helpers.gpt.momentum import momentum_forward

NEEDED = {"huggingface_hub", "safetensors", "tokenizers", "typing_extensions"}  # by transformers and torch
LIBRARIES = {"torch", "transformers", *NEEDED, *sys.stdlib_module_names} - {"unittest"}  # a mock is somebody's own


def identity(model: GPT) -> tuple | None:
    """Versions, weights, settings, tokenizer and the logits of a probe; None where no answer may be remembered.

    None in training mode, where dropout draws, and with somebody's own code in the network (a hook, a patched
    method, a class). Such code may act where the probe doesn't look, or only watch and miss what comes from the disk.
    The libraries' code is known by its version, and the probe shows what else is set (autocast, kernels, precision).
    """
    modules = list(model.network.modules())
    if any(module.training for module in modules) or any(map(_foreign, _code(model))):
        return None
    if (logits := _probe(model)) != _probe(model):
        return None
    settings = json.dumps([[_described(m), vars(m)] for m in modules], default=_described, skipkeys=True)
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend else repr(sorted(model.tokenizer.get_vocab().items()))
    versions = (torch.__version__, transformers.__version__, torch.get_default_dtype())
    return logits, model.fingerprint(), settings, model.bos, words, versions


@torch.no_grad()
def _probe(model: GPT) -> str:
    """A hash of the logits of sixteen tokens from all over the vocabulary."""
    ids = torch.arange(16) * 7919 % model.network.get_input_embeddings().weight.shape[0]
    return bits([model.network(ids[None].to(model.device)).logits])


def _described(thing: object) -> object:
    """What JSON has no form for: a configuration's fields, a buffer's bits, a parameter's shape, else the class."""
    if isinstance(thing, nn.Parameter):
        return f"{thing.dtype} {tuple(thing.shape)} {thing.device}"
    if isinstance(thing, Tensor):
        return bits([thing])
    return vars(thing) if isinstance(thing, PreTrainedConfig) else str(type(thing))


def _code(model: GPT) -> Iterator[object]:
    """All code that takes part in a pass: classes, attention, methods, hooks, and the functions of a model's file."""
    parts = [*model.network.modules(), model.tokenizer]
    classes = {cls for part in parts for cls in type(part).__mro__}
    yield from (*classes, AttentionInterface().get(model.network.config._attn_implementation))
    files = [sys.modules[name] for name in {type(module).__module__ for module in parts[:-1]}]
    for place in (*parts, *classes, *files, nn.functional, nn.modules.module):
        for name, value in vars(place).items():
            yield from value.values() if name.endswith("_hooks") and isinstance(value, dict) else [value]
    for weight in model.network.parameters():
        yield from [*(weight._backward_hooks or {}).values(), *(weight._post_accumulate_grad_hooks or {}).values()]


def _foreign(code: object) -> bool:
    """Is this code, or any inside it, neither a library's named above nor the course's momentum?"""
    if not callable(code) or code is momentum_forward:
        return False
    module = getattr(code, "__globals__", {}).get("__name__") or getattr(code, "__module__", None) or "builtins"
    inside = code.func if isinstance(code, partial) else getattr(code, "__func__", getattr(code, "__wrapped__", None))
    return module.split(".")[0] not in LIBRARIES or _foreign(inside)
