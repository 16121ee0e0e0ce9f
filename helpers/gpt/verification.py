"""A fast way is compared once with the plain way, on a short text, before its numbers are believed.

Families tried, each with a tiny model in tests/gpt/test_families.py:
- exact, internals too: gpt2, xglm, opt, gpt_neox, gpt_bigcode, llama, mistral, mixtral, qwen2, qwen3, gemma, gemma2,
  gemma3_text, phi, phi3, stablelm, smollm3, olmo, olmo2, olmo3, cohere, glm, granite, starcoder2
- exact, without internals: gpt_neo, codegen, gptj, falcon, gpt_oss, llama4_text
- by whole passes only, `slow=True`: openai-gpt, bloom, mpt, falcon-alibi, lfm2, mamba, rwkv
- a prompt as a patch: llama, mistral, qwen2, qwen3, gemma, smollm3, olmo, granite
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

from torch import OutOfMemoryError, Tensor, finfo, float32, nn

from helpers.gpt.loading import GPT

Found = TypeVar("Found")

WINDOWS = re.compile("(window|window_size|window_len|chunk_size|chunk_length|block_size|local_attention)$")

_PASSED: WeakKeyDictionary[nn.Module, dict[Callable, tuple]] = WeakKeyDictionary()  # check: (state, what it returned)


def once(model: GPT, check: Callable[[GPT], Found]) -> Found:
    """What `check` returns; asked again when it was None, or configuration, attention, precision or hooks changed."""
    network, passed = model.network, _PASSED.setdefault(model.network, {})
    hooks = [(type(m), *m._forward_hooks, *m._forward_pre_hooks) for m in network.modules()]
    state = (str(network.config), network.config._attn_implementation, model.dtype, model.device, hooks)
    watched = str(state[1]).startswith("watched")  # inside a watch, which must not see the passes of a check
    if check in passed and (watched or passed[check][0] == state):
        return passed[check][1]
    found = check(model)
    if found is not None:
        passed[check] = (state, found)
    return found


def probe(model: GPT) -> list[int]:
    """24 tokens to compare two ways on."""
    return model.bos + (model.encode("go -> went, see -> saw, eat -> ate, take -> took") * 24)[: 24 - len(model.bos)]


def alike(model: GPT, found: Tensor, expected: Tensor) -> bool:
    """Equal up to rounding, which costs a whole network less than half its digits; a wrong mask changes the first."""
    digits = max(finfo(model.dtype).eps, finfo(float32).eps)
    return bool((found.double() - expected.double()).norm() <= digits**0.5 * expected.double().norm())


def refusal(model: GPT, reason: str, advice: str) -> ValueError:
    """Family and reason in one line, what to do in the next."""
    return ValueError(f"{model.name} is of the family {model.network.config.model_type!r}: {reason}\n{advice}")


@contextmanager
def refused(model: GPT, what: str, advice: str) -> Iterator[None]:
    """Refuse `what` to a model, with whatever its family's code raises on what it isn't made for."""
    try:
        yield
    except (MemoryError, OutOfMemoryError):
        raise
    except Exception as error:
        raise refusal(model, f"{what}: {error}".partition("\n")[0], advice) from error


def window(model: GPT) -> int | float:
    """The fewest tokens that any layer sees at once, as far as the configuration says; infinite without a window."""
    numbers = model.network.config.get_text_config().to_dict().items()
    return min([n for name, n in numbers if WINDOWS.search(name) and type(n) is int and n > 0], default=float("inf"))
