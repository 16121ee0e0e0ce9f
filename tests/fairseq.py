"""A tiny random model in the files of KoboldAI/fairseq-dense-1.3B: XGLM in half precision, GPT-2's kind of words."""

import json
import tempfile
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from transformers import XGLMConfig, XGLMForCausalLM

REPO = "KoboldAI/fairseq-dense-1.3B"
MERGES = [("Ġ", "N"), ("Ġ", "P"), ("e", "r"), ("n", "e")]
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # behind the words, in this order, as there
WORDS = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *map("".join, MERGES), *SPECIAL]
BOS, END = WORDS.index("<s>"), WORDS.index("</s>")
CONFIG = {  # theirs but for the sizes
    "num_layers": 2,
    "d_model": 32,
    "attention_heads": 4,
    "ffn_dim": 64,
    "vocab_size": len(WORDS),
    "bos_token_id": BOS,
    "eos_token_id": END,
    "activation_dropout": 0.0,
    "activation_function": "gelu",
    "architectures": ["XGLMForCausalLM"],
    "attention_dropout": 0.1,
    "dropout": 0.1,
    "init_std": 0.3,
    "layerdrop": 0.0,
    "max_position_embeddings": 2048,
    "model_type": "xglm",
    "tokenizer_class": "GPT2Tokenizer",
    "scale_embedding": True,
    "transformers_version": "4.17.0",
    "newlinemode": "s",
    "use_cache": True,
}


def checkpoint():
    """Its files by name: no tokenizer.json and no tokenizer_config.json, as there."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        XGLMForCausalLM(XGLMConfig(**CONFIG)).half().save_pretrained(folder)
        weights = Path(folder, "model.safetensors").read_bytes()
    special = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "merges.txt": "\n".join(["#version: 0.2", *map(" ".join, MERGES), ""]).encode(),
        "model.safetensors": weights,
        "special_tokens_map.json": json.dumps(special | {"sep_token": "<|endoftext|>"}).encode(),
        "vocab.json": json.dumps({word: number for number, word in enumerate(WORDS)}).encode(),
    }
