"""Never a remembered answer of another model: whatever changes between two calls, the second says what is true then."""

import functools
import json
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from tiny import small_task, tiny
from tokenizers import Tokenizer
from torch import nn
from transformers import AttentionInterface, PreTrainedTokenizerFast
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from helpers import gpt, icl
from helpers.gpt.identity import identity
from helpers.support import cache

TASK = small_task()


def attentions(model):
    return [module for name, module in model.network.named_modules() if name.endswith((".self_attn", ".attn"))]


def last_norm(model):
    """The name and module of the last normalisation, right below the network's body."""
    name, norm = [found for found in model.network.base_model.named_children() if "Norm" in type(found[1]).__name__][-1]
    return name, norm


@contextmanager
def hooked(modules, hook, kind="register_forward_hook"):
    handles = [getattr(module, kind)(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def attribute(thing, name, value):
    """An attribute, set for a while; one that a class gives is uncovered again."""
    own, former = name in vars(thing), getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, former) if own or isinstance(former, nn.Module) else delattr(thing, name)


def without_attention(model):
    """What every learner tries first."""
    return hooked(attentions(model), lambda module, x, out: (out[0] * 0, *out[1:]))


def other_input(model):
    return hooked([last_norm(model)[1]], lambda module, x: (x[0] * x[0],), "register_forward_pre_hook")


def only_on_long_rows(model):
    """Sixteen tokens and fewer are left alone: no short probe can see it."""
    return hooked([last_norm(model)[1]], lambda module, x, out: out * (out.shape[1] <= 16))


def noise(model):
    return hooked([last_norm(model)[1]], lambda module, x, out: out + torch.randn(out.shape))


@contextmanager
def hook_on_every_module(model):
    def hook(module, x, out):
        return out * 2 if module is last_norm(model)[1] else None

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def own_forward(model):
    norm = last_norm(model)[1]
    return attribute(norm, "forward", lambda x: x if x.shape[1] > 16 else type(norm).forward(norm, x))


def own_partial(model):
    norm = last_norm(model)[1]
    return attribute(norm, "forward", functools.partial(lambda norm, x: -x, norm))


def forward_of_the_class(model):
    kind = type(last_norm(model)[1])
    plain = kind.forward
    return attribute(kind, "forward", lambda self, x: x if x.shape[1] > 16 else plain(self, x))


def forward_of_the_class_in_disguise(model):
    """The patch bears the name of what it replaces, below a decorator of torch."""
    kind = type(last_norm(model)[1])
    plain = kind.forward

    @functools.wraps(plain)
    def forward(self, x):
        return x if x.shape[1] > 16 else plain(self, x)

    return attribute(kind, "forward", torch.no_grad()(forward))


class Halved(nn.Module):
    """A module of somebody's own."""

    def forward(self, x):
        return x / 2


def own_module(model):
    return attribute(model.network.base_model, last_norm(model)[0], Halved())


def other_module(model):
    return attribute(model.network.base_model, last_norm(model)[0], nn.Identity())


def setting_of_a_module(model):
    norm = last_norm(model)[1]
    return attribute(norm, "eps" if hasattr(norm, "eps") else "variance_epsilon", 1.0)


def scale_of_attention(model):
    return attribute(attentions(model)[0], "scaling", 3.0)


@contextmanager
def other_weights(model):
    weight = next(model.network.parameters())
    weight[40:90] *= 2
    yield
    weight[40:90] /= 2


@contextmanager
def other_buffer(model):
    buffer = next(model.network.buffers())
    buffer *= 2
    yield
    buffer /= 2


@contextmanager
def training(model):
    """Dropout draws."""
    model.network.train()
    yield
    model.network.eval()


def other_precision(model):
    return torch.autocast("cpu", torch.bfloat16)


@contextmanager
def default_dtype(model):
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


CHANGES = [
    without_attention,
    other_input,
    only_on_long_rows,
    noise,
    hook_on_every_module,
    own_forward,
    own_partial,
    forward_of_the_class,
    forward_of_the_class_in_disguise,
    own_module,
    other_module,
    setting_of_a_module,
    scale_of_attention,
    other_weights,
    other_precision,
    training,
]


def scores(model, way=icl.in_context, **options):
    torch.manual_seed(1)  # what draws at random draws the same
    return way(model, TASK, **options).scores


def check_change(model, change, monkeypatch, **options):
    """With the change the cache says what is computed afresh; without it the old answer, and from the cache."""
    before = scores(model, **options)
    with change(model):
        with cache.bypassed():
            scores(model, **options)  # what is done once for a model is done
            expected = scores(model, **options)
        assert not torch.equal(expected, before)
        for _ in range(2):
            assert torch.equal(scores(model, **options), expected)
    monkeypatch.setattr(icl, "_evaluate", lambda *_: pytest.fail("computed again"))
    assert torch.equal(scores(model, **options), before)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_model_is_another_model(model, change, monkeypatch):
    if change is training:
        for module in attentions(model):
            module.attention_dropout = 0.1  # Llama's only; the other families have more
    check_change(model, change, monkeypatch)


@pytest.mark.parametrize("family", ["xglm", "llama"])
def test_a_changed_buffer_is_another_model(family, monkeypatch):
    check_change(tiny(family, torch.float32), other_buffer, monkeypatch)


@pytest.mark.parametrize("change", [without_attention, own_forward, other_module], ids=lambda change: change.__name__)
def test_finetuning_of_a_changed_model(model, change, monkeypatch):
    check_change(model, change, monkeypatch, way=icl.finetuned, lr=0.05)


def test_a_hook_on_a_gradient_is_a_change(model, monkeypatch):
    weights = list(gpt.key_and_value_weights(model.network).values())

    @contextmanager
    def half_steps(model):
        for weight in weights:
            weight.requires_grad_(True)
        handles = [weight.register_hook(lambda gradient: gradient / 2) for weight in weights]
        yield
        for handle in handles:
            handle.remove()

    check_change(model, half_steps, monkeypatch, way=icl.finetuned, lr=0.05)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_an_attention_function_of_ones_own(family, monkeypatch):
    """As transformers offers it; here one that sees nothing but itself where the row is long."""
    model = tiny(family, torch.float32)

    def alone(module, query, key, value, mask, **options):
        if query.shape[2] <= 16:
            return sdpa_attention_forward(module, query, key, value, mask, **options)
        own = value[..., -query.shape[2] :, :]
        return own.repeat_interleave(query.shape[1] // key.shape[1], 1).transpose(1, 2), None

    @contextmanager
    def registered(model):
        AttentionInterface.register("alone", alone)
        model.network.set_attn_implementation("alone")
        yield
        model.network.set_attn_implementation("sdpa")

    check_change(model, registered, monkeypatch)


def test_a_patched_function_of_the_models_file(monkeypatch):
    model = tiny("llama", torch.float32)
    file = sys.modules[type(model.network).__module__]
    check_change(model, lambda _: attribute_of(file, "apply_rotary_pos_emb", lambda q, k, *_: (q, k)), monkeypatch)


@contextmanager
def attribute_of(file, name, value):
    former = getattr(file, name)
    setattr(file, name, value)
    yield
    setattr(file, name, former)


def test_a_setting_that_no_short_probe_shows(model):
    """A window, a scaling of positions: known by the configuration, whatever it is called."""
    known = identity(model)
    model.network.config.sliding_window = 100
    assert identity(model) != known
    del model.network.config.sliding_window
    assert identity(model) == known


def test_results_in_another_default_dtype(model):
    assert icl.in_context(model, TASK, internals=True).internals.outputs.dtype == torch.float32
    with default_dtype(model):
        assert icl.in_context(model, TASK, internals=True).internals.outputs.dtype == torch.float64


def test_another_tokenizer_is_another_model(model, monkeypatch):
    before = scores(model)
    content = json.loads(model.tokenizer.backend_tokenizer.to_str())
    words = content["model"]["vocab"]
    words |= {"a": words["b"], "b": words["a"]}
    swapped = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(content)), bos_token="<s>")
    other = replace(model, tokenizer=swapped)
    with cache.bypassed():
        expected = scores(other)
    assert not torch.equal(expected, before)
    assert torch.equal(scores(other), expected)
    with attribute_of(model.tokenizer, "bos_token", "a"), cache.bypassed():
        expected = scores(model)
    with attribute_of(model.tokenizer, "bos_token", "a"):
        assert not torch.equal(expected, before)
        assert torch.equal(scores(model), expected)
    monkeypatch.setattr(icl, "_evaluate", lambda *_: pytest.fail("computed again"))
    assert torch.equal(scores(model), before)


def test_a_tokenizer_of_ones_own(model):
    class Loud(PreTrainedTokenizerFast):
        def __call__(self, text, **options):
            return super().__call__(text.upper(), **options)

    loud = Loud(tokenizer_object=model.tokenizer.backend_tokenizer, bos_token="<s>")
    assert not torch.equal(scores(model), scores(replace(model, tokenizer=loud)))


def test_a_hook_that_only_watches_sees_every_call(model):
    seen = []
    scores(model)
    with hooked([last_norm(model)[1]], lambda module, x, out: seen.append(out.shape[1])):
        with cache.bypassed():
            scores(model)  # what is done once for a model is done
            seen.clear()
            scores(model)
        passes = list(seen)
        scores(model)
    assert passes
    assert seen == passes * 2  # no probe among them


def test_watching_sees_every_call(model):
    scores(model)
    layers = []
    with gpt.watch(model, [0], lambda layer, _: layers.append(layer)):
        scores(model)
    assert layers


def test_the_same_model_is_known_again(model):
    """After it was used, after learning, and one that is built anew."""
    known = identity(model)
    assert known is not None
    icl.in_context(model, TASK, internals=True)
    icl.finetuned(model, TASK, 0.1, internals=True)
    assert identity(model) == known
    assert identity(tiny(model.name.split()[1], torch.float32)) == known


def test_momentum_of_the_course_is_known():
    model = tiny("llama", torch.float32)
    plain = identity(model)
    gpt.momentum.add_momentum(model.network)
    assert identity(model) not in (None, plain)


def test_a_probe_that_changes_is_no_key(model):
    """Whatever draws: here below the network, where no hook tells of it."""

    class Noisy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            return out + torch.randn(out.shape) if func is nn.functional.embedding else out

    with Noisy():
        assert identity(model) is None
    assert identity(model) is not None
