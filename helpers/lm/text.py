"""Text for the small language model: the manual, a vocabulary learned from it, random windows of its tokens."""

import functools
import json
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from helpers.support import cache

END = "<end>"  # of a document


@functools.cache
def corpus(split: Literal["train", "dev", "test"] = "train") -> tuple[str, ...]:
    """The pages of Django's manual that belong to this split, each a long document (data/README.md)."""
    path = cache.folder("manual", "documents.jsonl")
    if not path.exists():
        raise FileNotFoundError(f"The manual is not here yet ({path}).\nFetch it once (11 MB): python -m helpers setup")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return tuple(row["text"] for row in rows if row["split"] == split)


def vocabulary(documents: Sequence[str], size: int = 1024) -> Tokenizer:
    """Byte-pair tokens learned from these documents; any text can be written in them. ValueError if there is none."""
    if not any(documents):
        raise ValueError("vocabulary: the corpus is empty: there is no text in any of its documents.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=[END], initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, documents: Sequence[str]) -> Int[Tensor, " tokens"]:
    """All documents as one row of token ids, each followed by END. Raises ValueError if there is no text."""
    ids = [[*coded.ids, tokenizer.token_to_id(END)] for coded in tokenizer.encode_batch(list(documents)) if coded.ids]
    if not ids:
        raise ValueError("encode: the corpus is empty: there is no text in any of its documents.")
    return torch.tensor([token for document in ids for token in document])


def random_windows(tokens: Int[Tensor, " n"], context: int, count: int, seed: int, step: int) -> Int[Tensor, "b m"]:
    """A training step's windows of m = context + 1 tokens: the same for every model with this seed."""
    if len(tokens) <= context:
        raise ValueError(f"random_windows: {len(tokens)} tokens are too few for windows of {context} and the next one.")
    rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
    starts = torch.randint(len(tokens) - context, (count, 1), generator=rng)
    return tokens[starts + torch.arange(context + 1)]
