"""Where claims take their random inputs from: the same for every reader, or a student's own in homework."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_SALT: ContextVar[str] = ContextVar("salt", default="")


def generator(seed: int) -> torch.Generator:
    """A generator of this seed; within `salted` of the seed and the salt together."""
    if salt := _SALT.get():
        seed = int.from_bytes(hashlib.sha256(f"{salt} {seed}".encode()).digest()[:7])
    return torch.Generator().manual_seed(seed)


@contextmanager
def salted(salt: str) -> Iterator[None]:
    """Every claim read inside draws other inputs: those of this salt."""
    former = _SALT.set(salt)
    try:
        yield
    finally:
        _SALT.reset(former)
