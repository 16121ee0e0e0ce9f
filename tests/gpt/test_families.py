"""Every family that helpers/README.md lists: exact, exact but for internals, or by whole passes only.

Tiny models, random weights. The reference is transformers itself: whole passes, its own attention weights, hooks on
its projections.
"""

import re

import pytest
import torch
import transformers
from packaging.version import Version
from test_internals import check_against_transformers
from tiny import family, plain_scores, small_task

from helpers import gpt, icl
from helpers.gpt import patches, verification
from helpers.support import ROOT

README = (ROOT / "helpers" / "README.md").read_text()
OLD = {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4}  # shapes under the names of older families
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}

EXACT = {
    "gpt2": OLD | {"num_key_value_heads": None},
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 4, "ffn_dim": 64},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "gpt_neox": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}},
    "gpt_bigcode": OLD,
    "llama": {},
    "mistral": {"sliding_window": 200},
    "mixtral": EXPERTS,
    "qwen2": {"use_sliding_window": True, "sliding_window": 200, "max_window_layers": 1},
    "qwen3": {},
    "gemma": {},
    "gemma2": {"sliding_window": 200, "attn_logit_softcapping": 0.5, "query_pre_attn_scalar": 5},
    "gemma3_text": {"sliding_window": 200, "num_hidden_layers": 6, "query_pre_attn_scalar": 5},
    "phi": {},
    "phi3": {"sliding_window": 200},
    "stablelm": {"use_parallel_residual": True},
    "smollm3": {"num_hidden_layers": 4},
    "olmo": {},
    "olmo2": {},
    "olmo3": {"sliding_window": 200, "num_hidden_layers": 4},
    "cohere": {},
    "glm": {},
    "granite": {"attention_multiplier": 0.2},
    "starcoder2": {},
}
SCORES = {
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": 200},
    "codegen": OLD | {"rotary_dim": 4},
    "gptj": OLD | {"rotary_dim": 4},
    "falcon": {"alibi": False, "head_dim": None},
    "gpt_oss": EXPERTS | {"sliding_window": 200},
    "llama4_text": {"attention_chunk_size": 200, "num_local_experts": 1, "intermediate_size_mlp": 48},
}
WHOLE = {
    "openai-gpt": OLD,
    "bloom": {"max_position_embeddings": None, "n_layer": 2, "n_head": 4},
    "mpt": {"max_position_embeddings": None, "d_model": 32, "n_heads": 4, "n_layers": 2},
    "falcon-alibi": {"alibi": True, "head_dim": None},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba": {"head_dim": None},
    "rwkv": {"attention_hidden_size": 32},
}
PATCHED = ("llama", "mistral", "qwen2", "qwen3", "gemma", "smollm3", "olmo", "granite")
WINDOWS = {  # how a family's configuration says that a layer doesn't see all
    "mistral": "sliding_window",
    "phi3": "sliding_window",
    "qwen2": "sliding_window",
    "gemma2": "sliding_window",
    "gemma3_text": "sliding_window",
    "olmo3": "sliding_window",
    "gpt_neo": "window_size",
    "llama4_text": "attention_chunk_size",
}
ALL = EXACT | SCORES | WHOLE


def made(kind, **options):
    return family(kind.removesuffix("-alibi"), **(ALL[kind] | options))


def refused(model, kind):
    """Two lines: the family and the reason, then what to do."""
    return pytest.raises(ValueError, match=rf"^{model.name} is of the family '{kind}': .*\.?\n[^\n]*\.$")


def whole(model, task):
    return torch.stack(plain_scores(model, task, True))


@pytest.mark.parametrize("kind", EXACT | SCORES)
def test_packed_scores_are_those_of_whole_passes(kind):
    model, task = made(kind), small_task()
    assert not torch.allclose(
        whole(model, task)[:, 0], whole(model, task)[:, 1], atol=1e-2
    )  # there is something to tell apart
    torch.testing.assert_close(icl.in_context(model, task).scores, whole(model, task), atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_cannot_be_packed_is_refused_and_scored_by_whole_passes(kind):
    model, task = made(kind), small_task()
    with refused(model, kind.removesuffix("-alibi")) as message:
        icl.in_context(model, task)
    assert "slow=True" in str(message.value)
    torch.testing.assert_close(icl.in_context(model, task, slow=True).scores, whole(model, task), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", EXACT)
def test_internals_are_what_transformers_computes(kind):
    model, task = made(kind), small_task(queries=2)
    if kind == "gemma2" and Version(transformers.__version__) < Version("5.21"):  # its fused attention left the cap out
        with pytest.raises(ValueError, match="heads can't be looked into"):
            icl.in_context(model, task, internals=True)
        return
    check_against_transformers(model, task, icl.in_context, "answer", True)
    queries = icl.in_context(model, task, internals=True).internals.queries
    for query, found in zip(task.queries, queries, strict=True):
        expected = projected_queries(model, icl.prompt_ids(model, task, query))
        torch.testing.assert_close(found, expected, atol=1e-5 * expected.abs().max().item(), rtol=1e-4)


@torch.no_grad()
def projected_queries(model, ids):
    """What the query projections put out at the last token, or the norm behind them: [layers heads d_head]."""
    layers, heads, width = model.attention_shape
    found = {}

    def keep(name, out):
        if out.dim() == 4:  # a norm of every head's queries: [1 tokens heads d_head], or the tokens after the heads
            out = out.transpose(1, 2) if out.shape[1] == heads else out
        elif name.endswith("query_key_value"):
            out = out.unflatten(-1, (heads, -1))[..., :width]
        last = out[0, -1].flatten()[: heads * width]
        found[name.rpartition(".")[0]] = last * (width**-0.5 if model.name == "tiny opt" else 1)  # OPT scales there

    names = ("q_proj", "q_norm", "c_attn", "qkv_proj", "query_key_value")
    chosen = [(name, module) for name, module in model.network.named_modules() if name.endswith(names)]
    hooks = [module.register_forward_hook(lambda _, x, out, n=name: keep(n, out)) for name, module in chosen]
    model.network(torch.tensor([ids]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return torch.stack(list(found.values())).view(layers, heads, width)


@pytest.mark.parametrize("kind", SCORES)
def test_what_cannot_be_looked_into_is_refused(kind):
    model = made(kind)
    before = whole(model, small_task())
    with refused(model, kind):
        icl.in_context(model, small_task(), internals=True)
    assert torch.equal(whole(model, small_task()), before)  # nothing is left in it


@pytest.mark.parametrize("kind", WINDOWS)
def test_a_prompt_longer_than_a_window_is_refused_and_scored_by_whole_passes(kind):
    model, task = made(kind, **{WINDOWS[kind]: 30}), small_task()
    with refused(model, kind) as message:
        icl.in_context(model, task)
    assert "30 tokens" in str(message.value)
    torch.testing.assert_close(icl.in_context(model, task, slow=True).scores, whole(model, task), atol=1e-6, rtol=0)
    free = made(kind)
    assert not torch.allclose(whole(model, task), whole(free, task), atol=1e-3)  # the window does hide something


@pytest.mark.parametrize("kind", WINDOWS)
def test_packed_rows_stay_within_the_window(kind):
    """The longest prompt with its answers just fits; side by side the queries do not."""
    task = small_task()
    prefix, queries, answers = icl.encode(made(kind), task)
    longest = len(prefix) + max(len(q) + sum(map(len, a)) for q, a in zip(queries, answers, strict=True))
    model = made(kind, **{WINDOWS[kind]: longest})
    torch.testing.assert_close(icl.in_context(model, task).scores, whole(model, task), atol=1e-4, rtol=0)


def test_a_text_longer_than_a_window_is_not_looked_into():
    model = made("mistral", sliding_window=30)
    with pytest.raises(ValueError, match=r"sees only 30 tokens at once in some layers, not all 31\.\n.*\.$"):
        read_under_watch(model, 31)
    read_under_watch(model, 30)


def read_under_watch(model, tokens):
    with gpt.watch(model, [tokens - 1], lambda *_: None):
        model.network(torch.arange(2, tokens + 2)[None])


@pytest.mark.parametrize("kind", EXACT)
def test_a_prompt_becomes_a_patch_or_is_refused(kind):
    model = made(kind)
    behind, fingerprint = patches.next_token(model, "see -> saw\ngo ->"), model.fingerprint()
    if kind in PATCHED:
        with patches.patched(model, patches.absorb(model, "see -> saw\n", "go ->")):
            torch.testing.assert_close(patches.next_token(model, "go ->"), behind, atol=1e-4, rtol=1e-4)
    else:
        with pytest.raises(ValueError, match=rf"(?i){kind.removesuffix('_text').replace('_', '')}.*\n.*\.$"):
            patches.absorb(model, "see -> saw\n", "go ->")
    assert model.fingerprint() == fingerprint


def test_readme_and_docstring_list_the_families_that_are_tried():
    tried = {
        "exact": EXACT,
        "exact, without internals": SCORES,
        "by whole passes": WHOLE,
        "a prompt as a patch": PATCHED,
    }
    _, *items = verification.__doc__.split("\n- ")
    for (line, kinds), item in zip(tried.items(), items, strict=True):
        (listed,) = re.findall(rf"^- \*\*{line}\*\*[^:]*: (.*)$", README, re.MULTILINE)
        assert re.findall(r"`([\w-]+)`", listed) == list(kinds)
        assert item.startswith(line)
        assert re.findall(r"[\w-]+", item.partition(": ")[2]) == list(kinds)
