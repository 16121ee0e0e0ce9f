"""Wrong functions: right on plain random inputs and for the course's own check, and yet each can be exposed."""

import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "check"))

from misconceptions import bank as attempts

from helpers.check import EXERCISES, verdict
from helpers.check.engine import WRITE
from helpers.homework import bugs, bundle, inputs, student
from helpers.homework.bugs import Bug
from helpers.homework.inputs import SIGNATURES

NOTEBOOKS = "01", "02", "03", "06"
BUGS = [bug for notebook in NOTEBOOKS for bug in bugs.bank(notebook).values()]
NUMBERS = {"lr": (0.02, 0.3), "eta": (0.3, 0.9), "beta": (0.3, 0.9), "demos": (1, 2), "chunk": (2, 4)}
STEEP = {  # what large inputs make unusable, whoever computes it
    "normalized_linear_attention": "elu + 1 is 0 from −37 on",
    "softmax_decomposition": "e^800 is inf",
    "delta_rule": "steps that are too long grow the state without end, and its rounding with it",
}
NUMBERS |= {"steps": (2, 4), "layers": (2, 4)}
USUAL = {"n": (3, 6), "n'": (3, 6), "b": (4, 7), "d": (2, 4), "m": (2, 4), "e": (3, 5)}

each = pytest.mark.parametrize("bug", BUGS, ids=lambda bug: f"{bug.exercise}: {bug.name}")


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64)


def rows(*numbers: list[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


UNIT = ones(1, 1)
ONE = ones(1)
EXPOSING = {
    "short sight": (ones(65, 1), ones(65, 1), torch.arange(65.0)[:, None]),
    "large but finite": (1000 * ones(2, 1), -1000 * ones(2, 1), rows([1], [2])),
    "dictionary": (ones(2, 1), ones(2, 1), rows([1], [2])),
    "noise floor": (1e-13 * ones(2, 1), ones(2, 1), ones(2, 1)),
    "bounded scores": (100 * ones(1, 1), 100 * ones(1, 1), ones(1, 1)),
    "tired state": (ones(9, 1), ones(9, 1), ones(9, 1)),
    "bounded state": (ones(1, 1), 20 * ones(1, 1), 20 * ones(1, 1)),
    "overwriting": (ones(2, 1), ones(2, 1), ones(2, 1)),
    "eight chunks": (ones(10, 1), ones(10, 1), ones(10, 1), 1),
    "said already": (ones(3, 1), ones(3, 1), ones(3, 1), 1),
    "safe division": (-30 * ones(2, 1), ones(2, 1), ones(2, 1)),
    "bounded sum": (ones(1, 1), 200 * ones(1, 1), ones(1, 1)),
    "merged": (rows([1], [2]), ones(2, 1)),
    "half right": (rows([1, 0]), UNIT),
    "clipped": (100 * UNIT, 100 * UNIT),
    "robust": (UNIT, UNIT, 100 * UNIT, 0.1),
    "rate as a share": (UNIT, UNIT, 3 * UNIT, 2.0),
    "nearest examples": (UNIT, ones(33, 1), ones(33, 1), ONE),
    "recognised": (UNIT, ones(2, 1), rows([1], [2]), ONE),
    "learned for good": (UNIT, rows([1], [2]), rows([1], [0]), 0.1, 2),
    "slower later": (UNIT, UNIT, 3 * UNIT, 0.1, 11),
    "no vote on itself": (UNIT, UNIT, ONE),
    "bounded comparison": (UNIT, 100 * UNIT, ONE),
    "twice is once": (UNIT, UNIT, ones(2, 1)),
    "padding": (ones(1, 2), ones(1, 2), rows([1, 0])),
    "last 32": (UNIT, UNIT, ones(33, 1)),
    "seen already": (UNIT, UNIT, ones(1, 1), ones(1, 1), ONE),
    "trust region": (UNIT, UNIT, UNIT, 0 * UNIT, ONE),
    "unused inputs": (0 * UNIT, 0.1),
    "rate over rate": (UNIT, 0.0),
    "nothing to learn": (ones(2, 1, 1), ones(2, 1), ones(2, 1), rows([1, 0])[0]),
    "safe rate": (1e-3 * ones(1, 1, 1), 1e-3 * UNIT, 1e-3 * UNIT, 1e-3 * ONE),
    "stretched": (rows([1, 2]), rows([1, 0])[0], rows([2, 0])[0]),
    "safe length": (UNIT, 1e-8 * ONE, 2e-8 * ONE),
    "nothing to move": (rows([1, 2]), rows([1, 1])[0], rows([1, 2])[0]),
    "fresh start": (rows([1], [0]), 0.5),
    "nothing new": (ones(2, 1), 0.5),
    "short memory": (ones(40, 1), 0.99),
    "powers apart": (ones(200, 1), ones(200, 1), ones(200, 1), 0.01),
    "bounded weights": (ones(20, 1), ones(20, 1), ones(20, 1), 0.99),
    "told once": (ones(3, 1), ones(3, 1), ones(3, 1), 0.5),
    "time stands still": (rows([1], [0], [1]), 0.5),
    "flushed": (1e-12 * ones(2, 1), 0.5),
    "there already": (UNIT, ONE, ONE, 1.0, 0.5, 2),
    "each but once": (ones(2, 1), ones(2), ONE, 0.1, 0.5, 2),
}


def random_inputs(exercise: str, seed: int) -> tuple:
    """Gaussian numbers of small usual sizes."""
    rng = torch.Generator().manual_seed(seed)

    def number(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=rng).item()

    sizes = {letter: round(number(*span)) for letter, span in USUAL.items()}
    return tuple(
        torch.randn([sizes[letter] for letter in dims], generator=rng, dtype=torch.float64)
        if dims
        else (round(number(*NUMBERS[name])) if name in inputs.WHOLE else number(*NUMBERS[name]))
        for name, *dims in (part.split() for part in SIGNATURES[exercise].split(", "))
    )


@each
def test_right_on_plain_random_inputs(bug):
    for seed in range(12):
        given = random_inputs(bug.exercise, seed)
        right, wrong = (
            inputs.parts(bug.exercise, given, function(*given))
            for function in (EXERCISES[bug.exercise].course, bugs.function(bug))
        )
        for a, b in zip(right, wrong, strict=True):
            torch.testing.assert_close(b, a, rtol=0.0, atol=1e-9 * a.abs().max().item())
        assert not bugs.exposes(bug, given).ok


@each
def test_the_courses_own_check_lets_it_pass(bug):
    """Or its sentence would be the answer."""
    assert verdict(bugs.function(bug)).status == "passed"


@each
def test_can_be_exposed(bug):
    found = bugs.exposes(bug, EXPOSING[bug.name])
    assert found.ok, found.message
    assert found.message.startswith("Exposed: ")


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_enough_to_draw_from(notebook):
    bank = bugs.bank(notebook)
    assert len(bank) >= 8
    assert len({bug.exercise for bug in bank.values()}) >= 4
    assert {EXERCISES[bug.exercise].number[0] for bug in bank.values()} == {str(int(notebook))}
    assert bugs.bank("00") == {}


@each
def test_reads_like_a_students_function(bug):
    lines = bug.source.splitlines()
    assert 4 <= len(lines) <= 14
    assert max(map(len, lines)) <= 100
    assert "#" not in bug.source
    assert '"""' not in bug.source
    assert len(bug.why) > 60


def test_every_function_of_the_course_can_be_hunted_and_nothing_else():
    """What is derived, diagnosed or designed is no function that could be subtly wrong."""
    functions = {name for name, exercise in EXERCISES.items() if exercise.kind == WRITE}
    assert set(SIGNATURES) == set(bundle.WHAT) == functions


def test_names_are_unique():
    assert len({bug.name for bug in BUGS}) == len(BUGS) == len(EXPOSING)


@pytest.mark.parametrize(("name", "attempt"), [(n, f) for n, f, said in attempts() if said is None and n in SIGNATURES])
def test_a_right_function_is_not_exposed(name, attempt, monkeypatch):
    """Whichever way it is written, on inputs that are large, tiny, whole, equal, or cancel."""
    monkeypatch.setattr(bugs, "function", lambda bug: attempt)
    for seed in range(20):
        given = random_inputs(name, seed)
        largest = 0 if name in STEEP else 5
        scale = 10.0 ** min(seed % 10 - 4, largest)
        rough = [
            (scale * part).round(decimals=3 if seed % 2 else 12) if isinstance(part, torch.Tensor) else part
            for part in given
        ]
        found = bugs.exposes(Bug("right", name, "", ""), tuple(rough))
        assert not found.ok, found.message


def test_rounding_is_no_difference():
    """Where everything cancels, another order of adding leaves other dust."""
    source = "def weight_update(errors, inputs):\n    return sum(torch.outer(e, x) for e, x in zip(errors, inputs))"
    other = Bug("another order", "weight_update", source, "")
    assert not bugs.exposes(other, (rows([0.1], [0.2], [-0.3]), ones(3, 1))).ok


KEYS = bugs.bank("01")["dictionary"]
STATE = bugs.bank("01")["eight chunks"]
RATE = bugs.bank("02")["rate as a share"]
BAD = [
    (KEYS, None, "in one tuple: (q, k, v)"),
    (KEYS, UNIT, "in one tuple"),
    (KEYS, (UNIT, UNIT), "3 inputs"),
    (KEYS, (UNIT, UNIT, "1"), "`v` must be a plain tensor"),
    (KEYS, (UNIT, UNIT, [[1.0]]), "`v` must be a plain tensor"),
    (KEYS, (UNIT, UNIT, UNIT.bool()), "`v` must be a plain tensor"),
    (KEYS, (UNIT, UNIT, UNIT.to_sparse()), "`v` must be a plain tensor"),
    (KEYS, (UNIT, UNIT, ONE), "must have shape [n m]"),
    (KEYS, (ones(0, 1), ones(0, 1), ones(0, 1)), "none of them 0"),
    (KEYS, (ones(2, 1), ones(3, 1), ones(2, 1)), "n is 2 elsewhere and 3 here"),
    (KEYS, (ones(2, 2), ones(2, 1), ones(2, 1)), "d is 2 elsewhere and 1 here"),
    (KEYS, (UNIT, UNIT, float("nan") * UNIT), "between −1,000,000 and 1,000,000"),
    (KEYS, (UNIT, UNIT, 1.1e6 * UNIT), "between −1,000,000 and 1,000,000"),
    (KEYS, (ones(900, 1), ones(900, 1), ones(900, 1)), "2,700 numbers"),
    (KEYS, (UNIT.expand(10**6, 10**6),) * 3, "`q` has 1,000,000,000,000 numbers"),
    (STATE, (UNIT, UNIT, UNIT, 0), "`chunk` must be between 1"),
    (STATE, (UNIT, UNIT, UNIT, 1.0), "`chunk` must be a whole number"),
    (STATE, (UNIT, UNIT, UNIT, True), "`chunk` must be a whole number"),
    (RATE, (UNIT, UNIT, UNIT, -1.0), "`lr` must be between 0"),
    (RATE, (UNIT, UNIT, UNIT, float("nan")), "`lr` must be between 0"),
    (RATE, (UNIT, UNIT, UNIT, 10**400), "`lr` must be between 0"),
    (RATE, (UNIT, UNIT, UNIT, {}), "`lr` must be a number"),
    (bugs.bank("06")["fresh start"], (UNIT, 1.0), "`eta` must be at least 0 and less than 1"),
    (bugs.bank("03")["stretched"], (UNIT, 0 * ONE, ONE), "right function has no answer here"),
    (bugs.bank("02")["slower later"], (UNIT, 1e3 * UNIT, UNIT, 1e3, 100), "itself no number"),
]


@pytest.mark.parametrize(("bug", "given", "told"), BAD)
def test_bad_inputs_expose_nothing(bug, given, told):
    found = bugs.exposes(bug, given)
    assert not found.ok
    assert told in found.message


def test_kinds_of_numbers():
    """float32, whole numbers, lists and numbers in a tensor are what students write too."""
    assert bugs.exposes(KEYS, tuple(part.float() for part in EXPOSING["dictionary"])).ok
    assert bugs.exposes(KEYS, [part.long() for part in EXPOSING["dictionary"]]).ok
    assert bugs.exposes(RATE, (UNIT, UNIT, 3 * UNIT, torch.tensor(2.0))).ok


GOOD = [(bug, EXPOSING[bug.name]) for bug in BUGS]
FINE = [
    (bugs.bank("01")["large but finite"], (UNIT, -1e6 * UNIT, UNIT)),  # one token: nothing comes later
    (bugs.bank("01")["large but finite"], (ones(2, 1), -1e6 * ones(2, 1), rows([1], [2]))),
    (KEYS, tuple(part.long() for part in EXPOSING["dictionary"])),
    (bugs.bank("01")["noise floor"], tuple(1e-5 * part for part in EXPOSING["noise floor"])),
    (bugs.bank("06")["flushed"], (1e-9 * ones(2, 1), 0.5)),
    (RATE, (UNIT, UNIT, UNIT, 0.1)),
    (RATE, (UNIT, UNIT, 3 * UNIT, torch.tensor(2.0))),
]


@pytest.mark.parametrize(("bug", "given"), [*GOOD, *FINE, *((bug, given) for bug, given, _ in BAD)])
def test_the_sheet_says_what_is_graded(bug, given, capsys):
    """With a right function of one's own, `compare` and the grader agree on all inputs."""
    own = {bug.exercise: EXERCISES[bug.exercise].course}
    graded = bugs.exposes(bug, given)
    refused = ""
    try:
        student.compare(bugs.function(bug), lambda: given, own)
    except student.Told as told:
        refused = str(told)
    said = capsys.readouterr().out or refused
    assert graded.message.lower() in said.lower().replace("your own function", "the right function")
    assert said.startswith("✓ Exposed") == graded.ok


def test_what_may_be_handed_in_is_said_where_it_is_asked_for():
    assert inputs.described("momentum_attention") == "q [n d], k [n d], v [n m], eta (from 0 to less than 1)"
    assert "chunk (a whole number from 1 to 2,000)" in inputs.described("chunked_linear_attention")
    assert "lr (from 0 to 1,000,000)" in inputs.described("gradient_step")


def test_without_a_function_of_ones_own_inputs_are_judged_too(capsys):
    with pytest.raises(student.Told, match="don't count"):
        student.compare(bugs.function(KEYS), lambda: (UNIT, UNIT, 1.1e6 * UNIT), {})
    student.compare(bugs.function(KEYS), lambda: EXPOSING["dictionary"], {})
    assert "Write `softmax_attention` yourself" in capsys.readouterr().out


def test_inputs_stay_as_they_were():
    changing = Bug("in place", "weight_update", "def weight_update(errors, inputs):\n    return errors.mul_(0)", "")
    given = (2 * UNIT, UNIT)
    assert bugs.exposes(changing, given).ok
    assert given[0].item() == 2


def test_a_crash_and_another_shape_expose():
    crash = Bug("crash", "weight_update", "def weight_update(errors, inputs):\n    return errors[7]", "")
    assert "IndexError" in bugs.exposes(crash, (UNIT, UNIT)).message
    turned = Bug("turned", "weight_update", "def weight_update(errors, inputs):\n    return inputs.T @ errors", "")
    assert bugs.exposes(turned, (ones(1, 2), ones(1, 1))).ok


def test_quick():
    began = time.perf_counter()
    for bug in BUGS:
        bugs.exposes(bug, EXPOSING[bug.name])
    assert time.perf_counter() - began < 5  # 200 students hand in two each
