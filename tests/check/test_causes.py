"""A crash names its likeliest cause: attempts as people write them, each with a word of the sentence that they get."""

import numpy as np
import pytest
import torch

from helpers.check import verdict

CRASHES = {
    "torch.zeros(5, 5) @ v": "`q.new_zeros(…)`",
    "torch.zeros(2, 3) @ q[0]": "`q.new_zeros(…)`",
    "torch.einsum('td,id->ti', q, torch.zeros(5, 3))": "`q.new_zeros(…)`",
    "torch.arange(5).mean() * v": "`q.new_zeros(…)`",
    "torch.arange(5).softmax(0) @ v": "`q.new_zeros(…)`",
    "torch.zeros(5, 2, dtype=int).add_(v)": "`q.new_zeros(…)`",
    "q @ k": "[5, 3] `@` [5, 3] is not possible: the inner sizes, 3 and 5, must be equal. With `.T` behind the second",
    "q @ q.T @ k.T": "With `.T` behind the second",
    "v @ q.T": "Which dimension should disappear?",
    "q.T @ k.T": "With `.T` behind the second",
    "v.T @ q[0]": "A matrix [2, 5] can't act on a vector [3]",
    "v @ q[:, 0]": "With `.T` behind the matrix",
    "q[0] @ v[0]": "Vectors of 3 and of 2 numbers",
    "q * v": "`x[:, None]` adds a size of 1",
    "q.masked_fill(q @ k.T > 0, 0)": "`x[:, None]` adds a size of 1",
    "torch.outer(q, v)": "another number of dimensions",
    "q.dot(k)": "another number of dimensions",
    "torch.einsum('td,dv->tv', q, v)": "the letter d stands for sizes 5 and 3",
    "torch.einsum('td->t', q[0])": "a letter for every dimension",
    "written(q.new_zeros(5, 3), v[0])": "A tensor of shape [2] is written into a place of shape [3]",
    "torch.stack([q[0], v[0]])": "differ in size",
    "torch.cat([q, v])": "differ in size",
    "torch.stack(q, 0)": "take a list of tensors",
    "torch.stack([])": "The list of tensors is empty",
    "torch.cat([q[0, 0], q[0, 1]])": "A tensor of a single number",
    "forgotten(q) @ v": "a function without `return`",
    "[].append(q).T": "`list.append`",
    "v[0].expand(5, 2).add_(v)": "`.clone()` it before writing",
    "q.requires_grad_().mul_(2)": "written to in place",
    "q.sum().backward()": "`w = w.clone().requires_grad_()`",
    "np.tril(q @ k.T) @ v": "numpy and torch are mixed",
    "torch.tril(q.numpy())": "numpy and torch are mixed",
    "(q @ k.T).numpy().softmax(-1)": "numpy and torch are mixed",
    "q / torch.sqrt(3)": "Python's `math.sqrt`",
    "(0.5).exp() * q": "`torch.exp` takes a tensor",
    "(q @ k.T).softmax() @ v": "softmax is called with the wrong arguments",
    "forgotten(q, k)": "forgotten is called with the wrong arguments",
    "tril(q @ k.T) @ v": "`tril` has no value",
    "unset(q)": "`state` is read before it has a value",
    "q[5]": "Position 5 of 5 is asked for: they are counted from 0, so that the last is 4",
    "[q][1]": "a list that has fewer",
    "q.softmax(2)": "fewer dimensions than are named",
    "q[0, 0, 0]": "fewer dimensions than are named",
    "q[0, 0][0]": "A tensor of a single number",
    "q if q > 0 else k": "`torch.where`",
    "max(q, k)": "`torch.maximum`",
    "[v for t in range(5 / 2)]": "divide with `//`",
    "q[: 5 / 2]": "divide with `//`",
    "torch.zeros(5 / 2)": "divide with `//`",
    "v * (1 / (5 - len(q)))": "divided by 0",
    "v * torch.arange(5)[:, None] ** -1": "`dtype=q.dtype`",
    "[q, k].shape": "`torch.stack` joins rows",
    "[1.0] * 0.5": "`torch.stack` joins rows",
    "(q, k).T": "a pair, not one tensor",
    "q.T() @ k": "Round brackets call a function",
    "q.shape(0)": "Round brackets call a function",
    "q.sum * 2": "The brackets of a call are missing",
    "q.masked_fill(torch.ones(5, 3), 0)": "A mask must hold True and False",
    "q[torch.ones(5)]": "A mask must hold True and False",
    "torch.where(torch.ones(5, 3), q, 0)": "A mask must hold True and False",
    "q.squared()": "is it `torch.squared(x)`?",
    "v * float(q)": "many numbers stands where one number is needed",
    "v * q.item()": "many numbers stands where one number is needed",
    "unpacked(q)": "More comes out than there are names",
    "[v for t in len(q)]": "`for t in range(n)`",
    "q @ 2": "with a number use `*`",
    "q.view(4, 4)": "another number of entries",
    "q.T.view(15)": "use `.reshape`",
    "{'a': q}['b']": "no entry 'b' in this dict",
    "int('a') * v": "It stops with `ValueError`",
}


def forgotten(x):
    x @ x.T


def written(place, row):
    place[0] = row


def unset(x):
    state = state + x  # noqa: F821
    return state


def unpacked(x):
    a, b = x
    return a, b


@pytest.mark.parametrize(("line", "said"), CRASHES.items(), ids=CRASHES)
def test_a_crash_names_its_likeliest_cause(line, said):
    names = {"torch": torch, "np": np, **{f.__name__: f for f in (forgotten, written, unset, unpacked)}}
    exec(f"def attempt(q, k, v):\n    return {line}", names)
    found = verdict(names["attempt"], "1.2")
    assert (found.status, said in found.diagnosis) == ("crashed", True), found.message


def test_the_cause_names_the_exercises_own_argument():
    found = verdict(lambda errors, inputs: errors.T @ torch.zeros(5, 2), "2.1")
    assert "`errors.new_zeros(…)`" in found.diagnosis
