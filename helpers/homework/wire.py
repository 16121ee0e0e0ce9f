"""Plain values over a socket: the tree as JSON, the numbers in it as safetensors. Nothing that arrives can run.

Standard library, torch, numpy and safetensors only: the process that runs a submission loads this file by its path.
What comes from there is bounded before it is read, and checked while it is read; anything odd is `Garbled`.
"""

import json
import socket
import struct
import time
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

HEAD = struct.Struct(">QQ")  # bytes of text, bytes of numbers
TEXT, NUMBERS = 1 << 20, 1 << 24  # the most that is taken from a submission
DEPTH, PARTS = 8, 2000
DTYPES = {torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.bool, torch.uint8}
DTYPES |= {torch.int64, torch.int32, torch.int16, torch.int8}


class Garbled(Exception):
    """What arrived is not a message of ours."""


class _Packing:
    """The numbers of a value, and how many parts it has."""

    def __init__(self) -> None:
        self.numbers: dict[str, Tensor] = {}
        self.bytes = self.parts = 0

    def tree(self, value: object, depth: int = 0) -> object:
        """The value as JSON can hold it; what can't go over is named by its kind."""
        self.parts += 1
        if depth > DEPTH or self.parts > PARTS or (isinstance(value, tuple | list | dict) and len(value) > PARTS):
            return {"unknown": "collection of very many values"}
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, Tensor):
            return self.keep("tensor", value, f"tensor of {value.dtype}")
        if isinstance(value, np.ndarray | np.generic):
            return self.array(value)
        if isinstance(value, str | float):
            return value
        if isinstance(value, int):
            return value if abs(value) < 1 << 63 else {"unknown": "very large int"}
        if isinstance(value, tuple | list):
            return [self.tree(part, depth + 1) for part in value]
        if isinstance(value, dict):
            return {"dict": {str(name): self.tree(part, depth + 1) for name, part in value.items()}}
        return {"unknown": str(getattr(value, "kind", type(value).__name__))}

    def array(self, value: np.ndarray | np.generic) -> object:
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        try:
            return self.keep(kind, torch.from_numpy(np.array(value)), f"numpy {kind} of {value.dtype}")
        except TypeError:  # of text, of objects
            return {"unknown": f"numpy {kind} of {value.dtype}"}

    def keep(self, kind: str, numbers: Tensor, otherwise: str) -> object:
        self.bytes += numbers.nbytes
        if numbers.dtype not in DTYPES or self.bytes > NUMBERS // 2:
            return {"unknown": otherwise}
        name = str(len(self.numbers))
        self.numbers[name] = numbers.detach().clone(memory_format=torch.contiguous_format)
        return {kind: name}


class _Unpacking:
    """The numbers that arrived, and how many parts were read."""

    def __init__(self, numbers: dict[str, Tensor], unknown: Callable[[str], object]) -> None:
        self.numbers, self.unknown, self.parts = numbers, unknown, 0

    def value(self, tree: object, depth: int = 0) -> object:
        self.parts += 1
        if depth > DEPTH or self.parts > PARTS:
            raise Garbled
        if isinstance(tree, list):
            return tuple(self.value(part, depth + 1) for part in tree)
        if not isinstance(tree, dict):
            return tree
        ((kind, content),) = tree.items()
        if kind == "dict":
            return {name: self.value(part, depth + 1) for name, part in content.items()}
        if kind == "unknown":
            return self.unknown(str(content)[:80])
        numbers = self.numbers[content]
        if numbers.dtype not in DTYPES:
            raise Garbled
        return {"tensor": lambda: numbers, "array": numbers.numpy, "scalar": lambda: numbers.numpy()[()]}[kind]()


def pack(value: object) -> tuple[bytes, bytes]:
    """A value as text and numbers."""
    packing = _Packing()
    text = json.dumps(packing.tree(value)).encode()
    return text, save(packing.numbers)


def unpack(text: bytes, numbers: bytes, unknown: Callable[[str], object] = str) -> object:
    """The value again; lists are tuples now. Raises Garbled, and nothing else, for whatever is in the bytes."""
    try:
        return _Unpacking(load(numbers), unknown).value(json.loads(text))
    except Exception as error:
        raise Garbled from error


def send(to: socket.socket, value: object) -> None:
    """Write a value; raises OSError where nobody reads."""
    write(to, pack(value))


def write(to: socket.socket, packed: tuple[bytes, bytes]) -> None:
    """Write a value that is packed."""
    text, numbers = packed
    to.sendall(HEAD.pack(len(text), len(numbers)) + text + numbers)


def receive(
    source: socket.socket, seconds: float | None = None, text: int = TEXT, unknown: Callable[[str], object] = str
) -> object:
    """The next value. Raises EOFError at the end, TimeoutError after `seconds` in all, Garbled for anything odd."""
    until = None if seconds is None else time.monotonic() + seconds
    sizes = HEAD.unpack(_exactly(source, HEAD.size, until))
    if sizes[0] > text or sizes[1] > NUMBERS:
        raise Garbled
    return unpack(*(_exactly(source, size, until) for size in sizes), unknown)


def _exactly(source: socket.socket, size: int, until: float | None) -> bytes:
    """So many bytes, or none at all."""
    got = bytearray()
    while len(got) < size:
        if until is not None:
            source.settimeout(max(until - time.monotonic(), 1e-3))
        part = source.recv(min(size - len(got), 1 << 20))
        if not part:
            raise EOFError
        got += part
    return bytes(got)
