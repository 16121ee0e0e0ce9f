"""The likeliest cause of a crash in an attempt: what an exception of Python or torch means here, and what to do.

Symptoms are read as "Type: message", from top to bottom; of a cause, {0}, {1} … are what the symptom names, and
{first} is the exercise's first argument.
"""

import re
from collections.abc import Callable

DTYPES = (
    "The inputs are float64, and something here is not: make new tensors with `{first}.new_zeros(…)`, "
    "or with `dtype={first}.dtype`."
)
NONE = "Something is None here: a function without `return`, or a method that gives nothing back, as `list.append`."
DIMENSION = "The shapes don't fit. Print both, `x.shape`: sizes must be equal or 1; `x[:, None]` adds a size of 1."
WHOLE = "A whole number is needed, and `/` gives a float: divide with `//`."
PLAIN = (
    "`torch.{0}` takes a tensor, and this is a plain Python number: for a root `d ** 0.5`, else Python's `math.{0}`."
)
NUMPY = "numpy and torch are mixed: stay in torch, which has the same functions (`torch.tril`, `torch.exp`, …)."
LIST = "This is a list of tensors, not yet a tensor: `torch.stack` joins rows, `torch.cat` joins blocks."
PAIR = "This is a pair, not one tensor: a function that returns two things needs two names, `a, b = …`."
BRACKETS = "The brackets of a call are missing: `x.sum()`, not `x.sum`; but `x.T` and `x.shape` have none."
MASK = "A mask must hold True and False: compare (`t[:, None] < t`), or end with `.bool()`."
TRUTH = (
    "A whole tensor is asked whether it is true, by `if`, `and`, `or`, `max(a, b)`: "
    "use `torch.where`, `&`, `|`, `torch.maximum`."
)
MANY = "A tensor with many numbers stands where one number is needed: sum it or pick one first, or leave it a tensor."
ONE = "A tensor of a single number stands where several are needed: which index or sum took its last dimension away?"
KEPT = "A tensor is written to in place that must stay as it is: write `x = x + …`, or work on `x.clone()`."
COPIES = "Several places of this tensor are one place in memory, as `expand` makes them: `.clone()` it before writing."
GRADIENT = "`backward` finds nothing to differentiate: begin with `w = w.clone().requires_grad_()`, end in one number."
ARGUMENTS = "{0} is called with the wrong arguments: compare the call with the line that defines it."
SIZES = "The parts that are joined differ in size: print the shape of each before joining."
UNPACKED = "More comes out than there are names for it on the left: print its length, or its shape."


def product(rows: str, inner: str, other: str, columns: str) -> str:
    """Two matrices that can't be multiplied: both shapes, and which one to turn round."""
    shapes = f"[{rows}, {inner}] `@` [{other}, {columns}] is not possible: the inner sizes, {inner} and {other}"
    if inner == columns:
        return f"{shapes}, must be equal. With `.T` behind the second they are."
    if rows == other:
        return f"{shapes}, must be equal. With `.T` behind the first they are."
    return f"{shapes}, must be equal. Which dimension should disappear?"


def action(length: str, rows: str, columns: str) -> str:
    """A matrix and a vector that can't be multiplied."""
    turned = " With `.T` behind the matrix they are." if rows == length else " Is this the right vector?"
    return (
        f"A matrix [{rows}, {columns}] can't act on a vector [{length}]: {columns} and {length} must be equal.{turned}"
    )


def position(asked: str, size: str) -> str:
    """An index beyond the end."""
    return f"Position {asked} of {size} is asked for: they are counted from 0, so that the last is {int(size) - 1}."


def unknown(name: str) -> str:
    """A name without a value."""
    if name in ("torch", "attention", "dual", "regression", "elu"):
        return f"`{name}` is not imported yet: run the cells at the top of the notebook."
    return (
        f"`{name}` has no value: is it spelled as above, and is the cell that makes it run? (`torch.` in front of it?)"
    )


SYMPTOMS: tuple[tuple[str, str | Callable[..., str]], ...] = (
    (r"same dtype|expected scalar type|dtypes? (?:must |)match|source and destination dtypes", DTYPES),
    (
        r"can't be cast to the desired output type|could not infer output dtype|not implemented for '(?:Long|Int)'",
        DTYPES,
    ),
    (r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", product),
    (r"mat \((\d+)x(\d+)\), vec \((\d+)\)", lambda rows, columns, length: action(length, rows, columns)),
    (
        r"inconsistent tensor size, expected tensor \[(\d+)\] and src \[(\d+)\]",
        "Vectors of {0} and of {1} numbers have no product `a @ b`: are these the right two?",
    ),
    (r"must match the size of tensor b|shape mismatch|shape of the mask|Expected size for first two", DIMENSION),
    (
        r"expanded size of the tensor .* Target sizes: (\[.*?\])\. +Tensor sizes: (\[.*?\])",
        "A tensor of shape {1} is written into a place of shape {0}: make the place for it larger or smaller.",
    ),
    (
        r"subscript (\w) has size (\d+) .* previously seen size (\d+)",
        "In the einsum the letter {0} stands for sizes {1} and {2}: one letter, one size.",
    ),
    (r"number of subscripts", "In the einsum each tensor needs a letter for every dimension: print its `.shape`."),
    (
        r"outer: Expected 1-D|[1-3]D tensors? expected|must be a (?:matrix|3D tensor)|vector \+ matrix @ vector",
        "This function takes another number of dimensions: print `x.shape`, or use `@`, which takes both.",
    ),
    (
        r"unsupported operand type\(s\) for @: 'Tensor' and '(?:int|float)'",
        "`@` multiplies matrices; with a number use `*`.",
    ),
    (r"NoneType", NONE),
    (r"single memory location", COPIES),
    (r"does not require grad|implicitly created only for scalar", GRADIENT),
    (r"in-place operation|inplace operation", KEPT),
    (r"numpy|np\.ndarray", NUMPY),
    (
        r"tensors' \(position 1\) must be tuple of Tensors",
        "`torch.stack` and `torch.cat` take a list of tensors: `[a, b]`.",
    ),
    (r"(\w+)\(\): argument 'input' .* must be Tensor, not (?:int|float)", PLAIN),
    (r"'(?:int|float)' object has no attribute '(\w+)'", PLAIN),
    (r"each tensor to be equal size|Sizes of tensors must match", SIZES),
    (
        r"non-empty (?:TensorList|list of Tensors)",
        "The list of tensors is empty: does the loop run at all, and keep what it makes?",
    ),
    (r"'float' object cannot be interpreted|slice indices must be|must be tuple of ints, not float|got float\)", WHOLE),
    (
        r"(?:TypeError: )(\S+?)\(\) (?:missing \d+ required|takes .* positional|got an unexpected|got multiple)",
        ARGUMENTS,
    ),
    (r"UnboundLocalError: .*?'(\w+)'", "`{0}` is read before it has a value in this function: set it before the loop."),
    (r"NameError: .*?'(\w+)'", unknown),
    (r"index (-?\d+) is out of bounds for dimension \d+ with size (\d+)", position),
    (
        r"list index out of range|tuple index out of range",
        "A position is asked of a list that has fewer: is it filled yet?",
    ),
    (
        r"too many indices|Dimension out of range|dimensions in the tensor input does not match",
        "The tensor has fewer dimensions than are named: print `x.shape`; -1 is always the last.",
    ),
    (r"0-dim tensor|0-d tensor|zero-dimensional tensor", ONE),
    (r"Boolean value of Tensor", TRUTH),
    (r"ZeroDivisionError", "Something is divided by 0: look at the case of a single token, or of a size that is 0."),
    (r"negative integer powers", DTYPES),
    (r"'builtin_function_or_method'|'method'", BRACKETS),
    (
        r"'(?:torch\.Size|Tensor)' object is not callable",
        "Round brackets call a function; `x.shape[0]`, `x[0]` and `x.T` are none.",
    ),
    (r"'list' object has no|list indices must be|'list' and|and 'list'|multiply sequence", LIST),
    (r"'tuple' object has no|'tuple' and|and 'tuple'", PAIR),
    (r"only support?s boolean masks|condition to be a boolean|operator\.invert|used as indices must be", MASK),
    (
        r"'Tensor' object has no attribute '(\w+)'",
        "A tensor has no `.{0}`: is it spelled right, or is it `torch.{0}(x)`?",
    ),
    (r"one element tensors|cannot be converted to Scalar|only integer tensors|not Tensor", MANY),
    (r"too many values to unpack|not enough values", UNPACKED),
    (r"'int' object is not iterable", "A loop needs several things: `for t in range(n)`, not `for t in n`."),
    (
        r"is invalid for input of size",
        "The new shape has another number of entries than the tensor: print `x.shape` first.",
    ),
    (r"view size is not compatible", "`.view` needs entries in order, which `.T` changes: use `.reshape`."),
    (r"KeyError: (.*)", "There is no entry {0} in this dict: print its keys."),
    (r"CUDA", "The exercises run on the CPU: leave tensors where the inputs are."),
    (r"No module named", "The exercise needs torch only; another package is not installed here."),
)


def likeliest(error: BaseException, first: str) -> str:
    """The cause that is tried first, in one or two sentences."""
    symptom = f"{type(error).__name__}: {error}"
    for pattern, cause in SYMPTOMS:
        if found := re.search(pattern, symptom, re.S):
            return cause(*found.groups()) if callable(cause) else cause.format(*found.groups(), first=first)
    return f"It stops with `{type(error).__name__}`: read what that says, and print what goes into the marked line."
