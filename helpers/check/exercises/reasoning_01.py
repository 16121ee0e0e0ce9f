"""The exercises of notebook 01 that ask for reasoning: a reading's error, a flaw in a proof, an unseen change."""

from collections.abc import Iterator
from numbers import Real

import torch
from torch import Tensor

from helpers import attention
from helpers.check import seeds
from helpers.check.claims import Claim, Mistakes, close, equals, holds, is_diagnosis, is_number, is_pair, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.check.exercises.notebook_01 import draw
from helpers.support.typeset import number

STILL, MOVED = 1e-9, 0.01  # of an output's size: no more than rounding; clearly more


def drawn(seed: int, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    return int(torch.randint(low, high + 1, (), generator=seeds.generator(seed)))


def one_number(value: Real | Tensor) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


def two_parts(n: int, d: int) -> tuple[float, float]:
    """Expected squared error of one reading: what a key's own length adds, and what the other n − 1 pairs add."""
    return 2 / d, (n - 1) / d


def own_mistakes(d: int) -> Mistakes:
    values = {
        "That is so for keys of length exactly 1. Here k_j·k_j is 1 only on average.": 0.0,
        "This is E (k_j·k_j)²: the 1 that belongs to v_j itself must come off before the square.": 1 + 2 / d,
        "The square of the mean is missing: the variance of x² is E x⁴ − (E x²)².": 3 / d,
        "That is one entry of the key: all d of them add up.": 2 / d**2,
        "That is so for two different keys. Here x meets itself: what counts is the variance of x², not of x·y.": 1 / d,
        "A root was taken: the squared error is asked for.": (2 / d) ** 0.5,
        "Each entry's variance is 2/d², and d entries add up to 2/d: the d must be cancelled once.": 2.0,
    }
    return {said: (lambda value=value: one_number(value)) for said, value in values.items()}


def others_mistakes(n: int, d: int) -> Mistakes:
    values = {
        "The pair's own key is counted too: there are n − 1 others.": n / d,
        "A root was taken: the squared error is asked for.": ((n - 1) / d) ** 0.5,
        "That is one other pair; there are n − 1 of them.": 1 / d,
        "That is one entry of each key: d products of entries add up to k_i·k_j.": (n - 1) / d**2,
        "The lengths are added, then squared. Cross terms have mean 0, so add the squares.": (n - 1) ** 2 / d,
        "1/√d is the typical size of k_i·k_j: its mean square is asked for.": (n - 1) / d**0.5,
        "The mean of k_i·k_j is 0, but the mean of its square is not.": 0.0,
        "This is the sum of both parts: the second result is what the other pairs add.": (n + 1) / d,
        "The two have changed places: first the key's own part, then the others'.": 2 / d,
        "The width d is missing: the wider the keys, the less they overlap.": n - 1,
    }
    return {said: (lambda value=value: one_number(value)) for said, value in values.items()}


@exercise(
    "1.D1",
    kind="derive",
    title="The error of a reading",
    course=two_parts,
    task="Return the two parts of a reading's expected squared error: from its own key's length, from the other pairs.",
    equation="E‖S k_j − v_j‖² = E(k_j·k_j − 1)² + (n − 1) E(k_i·k_j)²",
    minutes=15,
    difficulty=3,
    importance=4,
    core=False,
    hints=(
        "Write k_j·k_j and k_i·k_j as sums over the d entries. What are the mean and the variance of one term?",
        "Both k_j·k_j − 1 and k_i·k_j have mean 0: their mean square is their variance. Each is a sum of d independent "
        "terms, and the variances of independent terms add up.",
        "A term x² has variance E x⁴ − (E x²)², with E x⁴ = 3/d² and E x² = 1/d. A term x·y has variance E x² E y².",
    ),
    passed="Every other pair adds 1/d, a key's own length 2/d: keys of length 1 save the second part.",
)
def reading_error(attempt: Attempt) -> Iterator[Claim]:
    for seed in range(3):
        n, d = drawn(seed, 4, 9), drawn(10 + seed, 11, 20)
        result = attempt(n, d)
        yield is_pair(result, "own", "others")
        own, others = result
        yield is_number(own, "the own key's part")
        says = f"E(k_j·k_j − 1)² for keys of width {d}"
        yield equals(one_number(own), one_number(two_parts(n, d)[0]), says, own_mistakes(d))
        yield is_number(others, "the others' part")
        says = f"(n − 1) E(k_i·k_j)² for {n} pairs and width {d}"
        yield equals(one_number(others), one_number(two_parts(n, d)[1]), says, others_mistakes(n, d))


LINES = {
    "1": "Line 1 is the series of the exponential function: it holds for every s.",
    "2": "Line 2 is algebra: multiply (Σ_a k_a q_a)^p out, and every term is a product of k's times the same of q's.",
    "3": "Line 3 only states an equality, and it holds: the parts' dot products add up to the series of line 1.",
    "4": "Line 4 is (eq. 1.3) with φ(k_i) in place of k_i: a query can be taken out of both sums.",
    "6": "Line 6 is what the course's version of exercise 1.5 does: the division needs the two sums, and nothing else.",
}
REASONS = {
    "A": "The series converges for every s; a large s only needs more terms.",
    "B": "It can: (k·q)² = Σ_ab (k_a k_b)(q_a q_b), and the same for every other power.",
    "D": "S and z are sums over tokens, and the division comes after they are read: exercise 1.5 divides as well.",
    "E": "The mask costs nothing here: when token t is read, only tokens up to t have been written.",
}


def the_flaw() -> tuple[int, str]:
    return 5, "C"


@exercise(
    "1.D2",
    kind="diagnose",
    title="Softmax with a state of fixed size?",
    course=the_flaw,
    task="Return the number of the one line of this proof that is wrong, and the letter of the reason.",
    equation="(line number, letter of the reason)",
    minutes=8,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "Take each line alone, for keys of width 1, and ask what it claims that the lines before it do not say.",
        "For width 1, write φ(x) out: 1, x, x²/√2, x³/√6, … Lines 1 to 4 hold for it. What do the others need of it?",
        "How many numbers does φ(x) hold for one key? Look for the line that depends on this count.",
    ),
    passed="Softmax, too, is a dot product of features, but of infinitely many: the state of this proof has no end.",
)
def flaw_of_the_state(attempt: Attempt) -> Iterator[Claim]:
    yield from is_diagnosis(attempt(), the_flaw(), LINES, REASONS)


def moved(after: Tensor, before: Tensor) -> float:
    """The largest change of an output, as a share of its largest entry."""
    return ((after - before).abs().max() / before.abs().max()).item()


def why_moved(keys: Tensor, k: Tensor, softmax: float) -> str:
    """How keys were changed so that softmax attention answers otherwise."""
    by = f"Softmax attention's output changes by {number(softmax, '.2g')} of its size."
    scale = (keys * k).sum() / k.square().sum()
    change = keys - k
    if close(keys, scale * k, 1e-6):
        return f"The keys are scaled. That multiplies each query's scores: softmax gets sharper or flatter. {by}"
    if close(keys.sort(0).values, k.sort(0).values, 1e-6):
        return f"The keys have changed places, and their values have not: softmax now weighs others. {by}"
    if close(change, change[:1].expand_as(change), 1e-3):
        return f"The idea is right, but the change is so large that the keys are lost in rounding. {by}"
    return f"A query's scores change by different amounts, and softmax compares them with each other. {by}"


def why_still(keys: Tensor, k: Tensor, linear: float) -> str:
    """Why linear attention answers as before."""
    if torch.equal(keys, k):
        return "These are the keys as they were: neither of the two moves."
    by = f"Linear attention's output changes by {number(linear, '.2g')} of its size, and {MOVED} is asked for."
    if linear < STILL:
        return f"Neither of the two moves: the change has no product with the queries that meet it. {by}"
    return f"Neither of the two moves by much: the change is too small. {by}"


def centred(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same vector taken from every key: their mean."""
    return k - k.mean(0)


@exercise(
    "1.D3",
    kind="design",
    title="Keys that softmax cannot tell apart",
    course=centred,
    task="Return other keys [n d] with which softmax attention answers as before, and linear attention otherwise.",
    equation="softmax attention: o(q, k', v) = o(q, k, v); linear attention: o(q, k', v) ≠ o(q, k, v)",
    minutes=12,
    difficulty=3,
    importance=4,
    core=False,
    hints=(
        "What may happen to one query's scores so that their softmax stays? What does linear attention do with that?",
        "Softmax stays when all scores of a query grow by the same number: e^(s + c) = e^c e^s, and e^c cancels.",
        "Scores of query t grow by (k'_i − k_i)·q_t. What must k'_i − k_i be, so that this is the same for every i?",
    ),
    passed="Softmax attention sees only differences between keys; what all keys share moves linear attention alone.",
)
def invisible_change(attempt: Attempt) -> Iterator[Claim]:
    for n, d, m in ((6, 3, 2), (5, 2, 4), (8, 4, 3)):
        q, k, v = draw(n, d, m, seed=2)
        keys = attempt(q, k, v)
        yield is_tensor(keys, n, d, name="the keys")
        softmax, linear = (
            moved(form(q, keys, v), form(q, k, v)) for form in (attention.softmax_attention, attention.linear_attention)
        )
        still, moves = softmax < STILL, linear > MOVED
        broken = "" if still else why_moved(keys, k, softmax)
        yield holds(still, f"softmax attention answers as before, {n} random tokens", broken, counts=True)
        broken = "" if moves else why_still(keys, k, linear)
        yield holds(moves, f"linear attention answers otherwise, {n} random tokens", broken, counts=True)
