"""Tiny random models of three families, and the plain way to score: one whole forward pass for every label."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    XGLMConfig,
    XGLMForCausalLM,
)

from helpers import icl
from helpers.gpt import GPT
from helpers.tasks import Example, Task, Template

FAMILIES = ("gpt2", "xglm", "llama")
CONTEXT = 256


def byte_tokenizer():
    """One token a byte, and a beginning and an end."""
    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), 2)}
    tokenizer = Tokenizer(models.BPE({"<s>": 0, "</s>": 1} | letters, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def network(family):
    """Learned positions, fused heads; sinusoidal positions, full heads; rotary positions, grouped heads."""
    torch.manual_seed(0)
    if family == "gpt2":
        shape = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 3, "n_head": 4}
        return GPT2LMHeadModel(GPT2Config(vocab_size=258, initializer_range=0.3, **shape))
    if family == "xglm":
        shape = {
            "max_position_embeddings": CONTEXT,
            "d_model": 32,
            "num_layers": 3,
            "attention_heads": 4,
            "ffn_dim": 64,
        }
        return XGLMForCausalLM(XGLMConfig(vocab_size=258, init_std=0.3, **shape))
    shape = {"max_position_embeddings": CONTEXT, "hidden_size": 32, "intermediate_size": 64}
    heads = {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=258, initializer_range=0.3, **shape, **heads))


def tiny(family, dtype):
    return GPT(network(family).to(dtype).eval().requires_grad_(False), byte_tokenizer(), f"tiny {family}")


def family(kind, **options):
    """A random model of any family of transformers, from its configuration; its matrices large, so that all matters."""
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape |= {"vocab_size": 258, "intermediate_size": 48, "max_position_embeddings": CONTEXT, "head_dim": 8}
    shape |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = AutoConfig.for_model(kind, **{k: v for k, v in (shape | options).items() if v is not None})
    torch.manual_seed(0)
    net = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    for matrix in (p for p in net.parameters() if p.dim() > 1):
        matrix.mul_(8)
    return GPT(net, byte_tokenizer(), f"tiny {kind}")


def small_task(labels=("no", "nope"), queries=5):
    """Labels of different lengths that share their first token, and prompts of different lengths."""
    texts = ["a b", "cat", "dogs run", "e", "fine weather"]
    answered = [Example(text, labels[i % len(labels)]) for i, text in enumerate(texts)]
    asked = tuple(Example(text * 2, label.label) for text, label in zip(texts[:queries], answered, strict=False))
    return Task("small", Template("{text} -> {label}"), tuple(labels), tuple(answered[:3]), asked)


def free_task():
    """Free answers, several right ones of different lengths."""
    asked = tuple(Example(text, answers[0], answers) for text, answers in (("go", ("went", "w")), ("is", ("was",))))
    return Task("free", Template("{text} -> {label}"), (), (Example("do", "did", ("did",)),), asked)


@torch.no_grad()
def plain_scores(model, task, demos):
    """Mean log-probability a token of every answer of every query, each from a forward pass of its own."""
    rows = []
    for query in task.queries:
        prompt = icl.prompt_ids(model, task, query, demos)
        row = []
        for answer in icl.answer_ids(model, task, query):
            logits = model.network(torch.tensor([prompt + answer])).logits[0, :-1].float().log_softmax(-1)
            row.append(logits[range(len(prompt) - 1, len(prompt) + len(answer) - 1), answer].mean())
        rows.append(torch.stack(row))
    return rows
