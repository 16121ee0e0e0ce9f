"""What may go wrong with an attempt, besides a wrong value: each has its own sentence, and none harms the page."""

import functools
import itertools
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers import attention
from helpers.check import EXERCISES, CheckFailed, break_it, check, claims, engine, grade, run, seeds, verdict
from helpers.support import ROOT

NAME = "linear_attention"
LEAST = {engine.WRITE: 3, "derive": 3, "diagnose": 1, "design": 2}  # claims that earn points, by kind


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))


def right(q, k, v):
    return torch.tril(q @ k.T) @ v


def nothing(q, k, v):
    right(q, k, v)


def nan(q, k, v):
    return right(q, k, v) / 0 * 0


def in_place(q, k, v):
    q *= 2
    return right(q / 2, k, v)


calls = []


def remembers(q, k, v):
    calls.append(1)
    return right(q, k, v) + len(calls)


def chance(q, k, v):
    return right(q, k, v) + torch.rand(1)


def chatty(q, k, v):
    while True:
        print("here", q)


def endless(q, k, v):
    while True:
        pass


def endless_and_stubborn(q, k, v):
    while True:
        try:
            while True:
                pass
        except:  # noqa: E722
            pass


def recursive(q, k, v):
    return recursive(q, k, v)


def to_numpy(q, k, v):
    return right(q, k, v).numpy()


def parameter(q, k, v):
    return torch.nn.Parameter(right(q, k, v))


def two(q, k, v):
    return right(q, k, v), q


def text(q, k, v):
    return "done"


def half(q, k, v):
    return right(q, k, v).float()


def the_courses_own(q, k, v):
    return attention.linear_attention(q, k, v)


def another_of_the_courses(q, k, v):
    return attention.recurrent_linear_attention(q, k, v)[0]


@functools.wraps(right)
def in_disguise(q, k, v):
    return functools.partial(attention.chunked_linear_attention, chunk=2)(q, k, v)


def from_torch(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (nothing, "is None: is the `return` missing?"),
        (nan, "something is divided by zero or overflows"),
        (in_place, "changes its input in place"),
        (remembers, "Called twice with the same input it answers differently"),
        (chance, "Called twice"),
        (chatty, "prints more than 10,000 characters"),
        (endless, "still running after"),
        (endless_and_stubborn, "still running after"),
        (recursive, "calls itself without end"),
        (to_numpy, "numpy array"),
        (parameter, "returns a Parameter"),
        (two, "is 2 things: return one tensor"),
        (text, "must be a tensor"),
        (half, "is torch.float32 for float64 inputs"),
        (the_courses_own, "calls `linear_attention`"),
        (another_of_the_courses, "calls `recurrent_linear_attention`"),
        (in_disguise, "calls `chunked_linear_attention`"),
        (from_torch, "calls `scaled_dot_product_attention`"),
        (attention.linear_attention, "calls `linear_attention`"),
    ],
)
def test_every_fault_has_its_sentence(attempt, said, capsys):
    found = verdict(attempt, NAME)
    assert (found.status, said in found.message) == ("failed", True), found.message
    assert capsys.readouterr() == ("", "")  # a verdict writes nothing


def exits(q, k, v):
    raise SystemExit(1)


def sparse(q, k, v):
    return right(q, k, v).to_sparse()


def listed(q, k, v):
    return list(right(q, k, v))


def imprecise(q, k, v):
    return right(q.float(), k.float(), v.float()).double()


async def later(q, k, v):
    return right(q, k, v)


def test_a_busy_machine_is_no_endless_loop(monkeypatch):
    """What counts is an attempt's own work: seconds in which others had the processor are not its fault."""
    monkeypatch.setattr(run, "SECONDS", 0.3)
    waits = [1.0]

    def kept_waiting(q, k, v):
        time.sleep(waits.pop() if waits else 0)
        return right(q, k, v)

    assert verdict(kept_waiting, NAME).status == "passed"


def test_an_attempt_that_only_sleeps_is_stopped(monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.5)

    def asleep(q, k, v):
        while True:
            time.sleep(0.05)

    assert "still running after" in verdict(asleep, NAME).message


def test_a_first_check_does_not_import_torchs_compiler():
    """It takes seconds, and would be counted as the attempt's."""
    code = (
        "import sys, torch; from helpers.check import verdict; "
        "verdict(lambda q, k, v: torch.einsum('td,id->ti', q, k).tril() @ v, 'linear_attention'); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (exits, "ends Python"),
        (sparse, "to_dense"),
        (listed, "5 things: return one tensor (`torch.stack`"),
        (imprecise, "Nearly: "),
        (later, "this is of type coroutine"),
        (lambda q, k: q, "can't be called as the exercise asks"),
        (torch.tril, "can't be called as the exercise asks"),
    ],
)
def test_more_of_them(attempt, said):
    found = verdict(attempt, NAME)
    assert (found.status, said in found.message) == ("failed", True), found.message


def test_torchs_own_not_implemented_is_no_stub():
    found = verdict(lambda q, k, v: torch.ones(2, 2).bool() @ torch.ones(2, 2), NAME)
    assert found.status == "crashed"


def test_what_was_printed_before_a_crash_is_shown(capsys):
    def crashes(q, k, v):
        print("shape", tuple(q.shape))
        return q @ k

    with pytest.raises(RuntimeError):
        check(crashes, NAME)
    assert "shape (5, 3)" in capsys.readouterr().out


def test_an_exercise_is_found_by_its_number():
    assert verdict(right, "1.2").status == "passed"


def test_break_it_wants_more_than_rounding(capsys):
    def same(q, k, v):
        return right(q, k, v) * (1 + 1e-7)

    draw = lambda size: tuple(size * torch.randn(9, 4) for _ in range(3))  # noqa: E731
    for size in (1, 1e4):
        with pytest.raises(CheckFailed, match="both say the same"):
            break_it(same, right, lambda size=size: draw(size))
    break_it(lambda q, k, v: 0 * right(q, k, v), right, lambda: draw(1e-3))
    assert "Broken" in capsys.readouterr().out
    for wrong in (None, 3, (torch.ones(2), torch.ones(3))):
        with pytest.raises(CheckFailed, match="can't be used"):
            break_it(same, right, lambda wrong=wrong: wrong)
    with pytest.raises(CheckFailed, match="nan"):
        break_it(same, right, lambda: draw(float("nan")))


@pytest.mark.parametrize(
    "found",
    [None, (), [], torch.ones(0), (torch.ones(0, 3),) * 3, (torch.ones(2, 3), None, None), iter(()), {}, "text", 3],
    ids=repr,
)
def test_break_it_on_nothing_is_a_sentence(found):
    with pytest.raises(CheckFailed, match="can't be used: ") as caught:
        break_it(lambda q, k, v: 2 * right(q, k, v), right, lambda: found)
    assert len(str(caught.value).splitlines()) == 1


def refuses(x):
    assert x is None


@pytest.mark.parametrize("wrong", [refuses, lambda x: x.sum(0), lambda x: None, lambda x: (x, x), lambda x: x[:, None]])
def test_break_it_where_the_two_cannot_be_compared_is_a_sentence(wrong):
    with pytest.raises(CheckFailed, match="can't be used: ") as caught:
        break_it(wrong, lambda x: x, lambda: torch.ones(3))
    assert len(str(caught.value).splitlines()) == 1


def flickering(factor):
    """A right attempt whose every other answer differs by a factor, as threads that add in another order make it."""
    turns = itertools.cycle([1.0, factor])
    return lambda q, k, v: right(q, k, v) * next(turns)


@pytest.mark.parametrize(
    "name", ["linear_attention", "recurrent_linear_attention", "best_step_size", "gd_as_attention"]
)
def test_a_last_bit_that_changes_is_not_another_answer(name):
    course = EXERCISES[name].course
    turns = itertools.cycle([1.0, 1 + 4e-16])

    def scaled(value, factor):
        if isinstance(value, tuple):
            return tuple(scaled(part, factor) for part in value)
        if isinstance(value, dict):
            return {key: scaled(part, factor) for key, part in value.items()}
        return value * factor

    attempt = engine.Attempt(lambda *args: scaled(course(*args), next(turns)), replace(EXERCISES[name], watched={}))
    for claim in EXERCISES[name].claims(attempt):
        assert not claim.broken, claim


def test_a_difference_that_is_no_rounding_is_another_answer():
    assert verdict(flickering(1 + 1e-11), NAME).status == "passed"
    assert "Called twice" in verdict(flickering(1 + 1e-8), NAME).message


def test_one_tensor_for_two():
    assert "Two results are asked for" in verdict(right, "recurrent_linear_attention").message


def test_a_stub_is_left_alone():
    def stub(q, k, v):
        raise NotImplementedError

    assert verdict(stub, NAME).status == "not attempted"
    assert check(stub, NAME) is None
    with pytest.raises(CheckFailed):
        grade(stub, NAME)


def test_an_attempts_own_exception_is_shown_whole_and_without_the_engine():
    def crashes(q, k, v):
        return q @ k

    found = verdict(crashes, NAME)
    assert found.status == "crashed"
    assert "return q @ k" in found.message
    assert "helpers/check" not in found.message
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        check(crashes, NAME)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        grade(crashes, NAME)


def test_a_failed_check_is_one_short_sentence():
    with pytest.raises(CheckFailed, match="no mask") as caught:
        check(lambda q, k, v: q @ k.T @ v, NAME)
    assert len(caught.value._render_traceback_()) == 1
    assert len(str(caught.value).splitlines()) <= 3


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(ValueError, match="Nearest: linear_attention"):
        check(right, "linear_atention")
    with pytest.raises(ValueError, match="no exercise is called 'right'"):
        check(right)


def test_what_an_attempt_prints_is_shown_once(capsys):
    def talks(q, k, v):
        print("shape", tuple(q.shape))
        return right(q, k, v)

    check(talks, NAME)
    assert capsys.readouterr().out.count("shape (5, 3)") == 1


def test_a_profiler_that_was_there_is_there_again():
    def mine(*_):
        pass

    sys.setprofile(mine)
    try:
        for attempt in (right, endless, recursive):
            verdict(attempt, NAME)
            assert sys.getprofile() is mine
    finally:
        sys.setprofile(None)


def test_an_alarm_that_was_set_is_set_again():
    import signal

    former = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        signal.setitimer(signal.ITIMER_REAL, 100)
        verdict(right, NAME)
        assert 90 < signal.setitimer(signal.ITIMER_REAL, 0)[0] <= 100
    finally:
        signal.signal(signal.SIGALRM, former)


def test_outside_the_main_thread_the_page_says_that_it_cannot_stop_a_loop(capsys):
    worker = threading.Thread(target=check, args=(right, NAME))
    worker.start()
    worker.join()
    assert "can't be stopped here" in capsys.readouterr().out


def test_the_random_state_of_the_page_is_left_as_it_was():
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    verdict(lambda q, k, v: right(q, k, v) + torch.rand(1), NAME)
    assert torch.rand(1) == before


def test_a_call_could_have_come_from_another_process():
    """All that claims see of an attempt is plain: it survives being written down."""
    import pickle

    class Strange:
        pass

    q, k, v = (torch.randn(4, 3, dtype=torch.float64) for _ in range(3))
    for value in (right(q, k, v), (q, [k, 1.0]), {"p": q}, np.float64(3), None, True, Strange()):
        call = run.run(lambda *_, value=value: value, (q, k, v), {}, set())
        assert run.same(pickle.loads(pickle.dumps(call)).value, call.value)


@pytest.mark.parametrize("name", EXERCISES)
def test_a_verdict_takes_less_than_half_a_second(name):
    """A right attempt, of the bank; a budget of a page, not a benchmark: many times what it takes."""
    from misconceptions import bank

    attempt = next(f for exercise, f, said in bank() if (exercise, said) == (name, None))
    start = time.perf_counter()
    assert verdict(attempt, name).status == "passed"
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=lambda exercise: exercise.name)
def test_inputs_tell_every_listed_mistake_from_the_right_answer(exercise):
    """Over all inputs of an exercise; and no two mistakes lead to the same value on the one that tells them."""

    class Course(engine.Attempt):
        def __call__(self, *args):
            call = run.run(exercise.course, args, {}, set())
            self.made, self.operations = call.made, 0
            return call.value

    told = {}
    for claim in exercise.claims(Course(exercise.course, exercise)):
        assert not claim.broken, claim
        for said, wrong in claim.mistakes.items():
            value = wrong()
            apart = not claims.close(value, claim.expected, 1e-3)
            alone = not any(
                claims.close(value, other(), 1e-3) for said_too, other in claim.mistakes.items() if said_too != said
            )
            told[said] = told.get(said, False) or (apart and alone)
    assert told == dict.fromkeys(told, True)


def test_the_checks_load_nothing_of_the_set_up():
    code = "import sys, helpers.check; print([m for m in sys.modules if m.startswith('helpers.course')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_in_the_science_imports_the_checks():
    code = (
        "import sys, helpers.attention, helpers.icl, helpers.plots; "
        "print([m for m in sys.modules if m.startswith(('helpers.check', 'helpers.course'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_credit_is_the_share_of_the_claims_about_values_that_hold():
    asked = engine.EXERCISES["linear_attention"]

    def credited(attempt):
        return engine.credit(asked, engine.Attempt(attempt, asked))

    assert credited(lambda q, k, v: (q @ k.T).tril() @ v) == (3, 3)
    assert credited(lambda q, k, v: q @ k.T @ v) == (1, 3)  # without a mask one token alone is right
    assert credited(lambda q, k, v: 0 * v) == (0, 3)
    assert credited(lambda q, k, v: v[:, :1]) == (0, 3)
    assert credited(lambda q, k, v: None) == (0, 3)


def test_all_of_the_credit_only_where_nothing_is_broken():
    asked = engine.EXERCISES["recurrent_linear_attention"]

    def table(q, k, v):
        return (q @ k.T).tril() @ v, v.T @ k

    assert engine.credit(asked, engine.Attempt(table, asked)) == (5, 6)


def test_salted_claims_draw_other_inputs_and_the_same_again():
    def seen():
        inputs = []
        verdict(lambda q, k, v: inputs.append(q) or (q @ k.T).tril() @ v, "linear_attention")
        return torch.cat([q.flatten() for q in inputs])

    plain = seen()
    with seeds.salted("one"):
        first, again = seen(), seen()
    with seeds.salted("two"):
        second = seen()
    assert torch.equal(plain, seen())
    assert torch.equal(first, again)
    assert not torch.equal(plain, first)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", engine.EXERCISES)
def test_the_course_s_own_versions_hold_with_any_salt(name):
    asked = engine.EXERCISES[name]
    for salt in ("one", "two", "three"):
        with seeds.salted(salt):
            held, of = engine.credit(asked, engine.Attempt(asked.course, engine.unwatched(asked)))
        assert held == of >= LEAST[asked.kind]
