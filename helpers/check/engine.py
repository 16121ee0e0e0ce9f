"""The exercise engine: run an attempt, read an exercise's claims from top to bottom, tell the first that breaks."""

import difflib
import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import CodeType, ModuleType

import torch

from helpers.check import causes, frames, run
from helpers.check.claims import EXACT, Claim, sentence
from helpers.check.run import Fault

WRITE = "write"
KINDS = {  # what is asked for
    WRITE: "a function of the course",
    "derive": "a step of a derivation, as an expression that numbers can check",
    "diagnose": "the line of a short analysis that is wrong, and why",
    "design": "an input, a control or a split that tells two explanations apart",
}
NOT_ATTEMPTED = "Not attempted yet: replace the line `raise NotImplementedError`."


@dataclass(frozen=True)
class Exercise:
    """What is asked, and the generator of claims that an attempt must meet."""

    name: str
    number: str
    task: str  # in one plain sentence
    equation: str
    minutes: int
    difficulty: int  # 1 to 5
    importance: int  # 1 to 5
    core: bool  # on the core path: ★
    hints: tuple[str, str, str]  # where to look, the idea, nearly the line
    passed: str  # what now holds, in one line
    claims: Callable[["Attempt"], Iterator[Claim]]
    course: Callable  # the course's own version
    watched: dict[CodeType | Callable, str]  # code that does the exercise: an attempt may not call it
    allowed: set[CodeType]
    kind: str = WRITE
    title: str = ""  # in English, where the function's name doesn't say it

    @property
    def heading(self) -> str:
        """Its title, or else the function's name."""
        return self.title or self.name

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"exercise {self.number}: kind {self.kind!r} is none of {', '.join(KINDS)}.")


@dataclass(frozen=True)
class Verdict:
    """What became of an attempt."""

    exercise: Exercise
    status: str  # "passed", "not attempted", "failed" or "crashed"
    claim: str  # the one that broke; what now holds if none did; empty where there was nothing to claim
    diagnosis: str  # what is wrong, in one sentence; of a crash its likeliest cause
    details: str = ""  # what shows it: numbers, or the lines that led to the exception
    printed: str = ""  # by the attempt
    error: BaseException | None = None  # the attempt's own, with its own frames only
    mistake: str = ""  # the known one, where that is what the attempt makes

    @property
    def message(self) -> str:
        """All of it as text."""
        return ("\n" if self.error else " ").join(filter(None, (self.diagnosis, self.details)))


class CheckFailed(AssertionError):
    """An attempt was wrong: short, without the engine's frames."""

    def _render_traceback_(self) -> list[str]:  # what Jupyter shows instead of a traceback
        return [f"✗ {self}"]


EXERCISES: dict[str, Exercise] = {}


def exercise(
    number: str,
    *,
    module: ModuleType | None = None,
    course: Callable | None = None,
    may_use: tuple[str, ...] = (),
    same: tuple = (),
    **about: object,
) -> Callable:
    """Make an exercise of a generator of claims; `module` holds the course's version under the generator's name.

    An exercise that is no function of the course gives its own version as `course`. Watched are all functions of
    `module` but `may_use`, the course's version, and `same`: other functions that do the exercise.
    """

    def keep(claims: Callable) -> Callable:
        own = _functions(module) if module else {}
        name = claims.__name__
        answer = course or getattr(module, name)
        watched = {c: name for name, c in own.items() if name not in may_use}
        watched |= {code(f): f.__name__ for f in (answer, *same)}
        allowed = {own[name] for name in may_use}
        EXERCISES[name] = Exercise(
            name, number, claims=claims, course=answer, watched=watched, allowed=allowed, **about
        )
        return claims

    return keep


def _functions(module: ModuleType) -> dict[str, CodeType | Callable]:
    """The code of a module's own public functions, by name."""
    own = ((name, f) for name, f in vars(module).items() if inspect.isfunction(f) and not name.startswith("_"))
    return {name: code(f) for name, f in own if f.__module__ == module.__name__}


def code(function: Callable) -> CodeType | Callable:
    """The code that runs inside all wrappers; a function built into torch stands for itself."""
    return getattr(inspect.unwrap(function), "__code__", function)


def find(fn: Callable, name: str | None = None) -> Exercise:
    """The exercise of a function, by its name or number; ValueError with the nearest names where there is none."""
    inner = fn
    while isinstance(inner, functools.partial):
        inner = inner.func
    asked = str(name or getattr(inner, "__name__", type(fn).__name__))
    for exercise in EXERCISES.values():
        if asked in (exercise.name, exercise.number):
            return exercise
    near = difflib.get_close_matches(asked, EXERCISES, n=3, cutoff=0.3) or list(EXERCISES)
    raise ValueError(f"no exercise is called {asked!r}. Nearest: {', '.join(near)}; or say check(fn, name=…).")


class Stopped(BaseException):
    """The attempt's own exception, told apart from one of the engine's."""


class Attempt:
    """A function under examination. Called, it gives plain values; claims see nothing else of it."""

    def __init__(self, fn: Callable, exercise: Exercise) -> None:
        self._fn, self._exercise = fn, exercise
        self.printed, self.made, self.operations = "", 0, 0

    def __call__(self, *args: object) -> object:
        try:
            first, second = self.once(args), self.once(args)
        except (Exception, Fault) as error:
            self.printed += getattr(error, "printed", "")
            raise error if isinstance(error, Fault) else Stopped(error) from None
        self.printed += first.printed
        self.made, self.operations = first.made, first.operations
        if not run.same(first.value, second.value, EXACT):  # threads add in another order when the machine is busy
            raise Fault(
                "Called twice with the same input it answers differently: does it keep something, or draw at random?"
            )
        return first.value

    def once(self, args: tuple) -> run.Call:
        """One call, here; homework calls in another process."""
        return run.run(self._fn, args, self._exercise.watched, self._exercise.allowed)


def verdict(fn: Callable, name: str | None = None) -> Verdict:
    """What became of an attempt; never raises for what the attempt does, and writes nothing."""
    asked = find(fn, name)
    return judged(asked, Attempt(fn, asked))


def judged(asked: Exercise, attempt: Attempt) -> Verdict:
    """What became of an attempt, wherever it runs; never raises for what it does."""
    state = torch.get_rng_state()
    try:
        broken = next((claim for claim in asked.claims(attempt) if claim.broken), None)
    except Fault as fault:
        return _failed(asked, attempt, str(fault))
    except Stopped as stopped:
        return _stopped(asked, attempt, stopped.args[0])
    except Exception as error:
        return _failed(asked, attempt, f"The check stumbled over this result. It says: {error}")
    finally:
        torch.set_rng_state(state)
    if broken:
        return Verdict(asked, "failed", broken.says, *broken.told, attempt.printed, mistake=broken.mistake)
    return Verdict(asked, "passed", asked.passed, asked.passed, "", attempt.printed)


def is_stub(error: Exception) -> bool:
    """Whether nothing was written yet; torch's own NotImplementedErrors have something to say."""
    return isinstance(error, NotImplementedError) and not error.args


def _failed(asked: Exercise, attempt: Attempt, said: str) -> Verdict:
    """A verdict on an attempt of which nothing could be claimed."""
    return Verdict(asked, "failed", "", *sentence(said), attempt.printed)


def _stopped(asked: Exercise, attempt: Attempt, error: Exception) -> Verdict:
    """A verdict on an attempt that raised an exception."""
    if is_stub(error):
        return Verdict(asked, "not attempted", "", NOT_ATTEMPTED)
    given = [name for name, about in inspect.signature(asked.course).parameters.items() if about.default is about.empty]
    if not frames.began(error):
        called = f"It can't be called as the exercise asks, with ({', '.join(given)}). Python says: {error}."
        return _failed(asked, attempt, called)
    lines = "".join(traceback.format_exception(frames.own(error)))
    return Verdict(asked, "crashed", "", causes.likeliest(error, (given or [""])[0]), lines, attempt.printed, error)


def credit(asked: Exercise, attempt: Attempt) -> tuple[int, int]:
    """How many of the exercise's claims about values hold, and of how many; forms (a shape, a pair) earn nothing.

    Claims after a broken one are still read; where a result can't be looked at, those that are left don't hold.
    All are held only where nothing at all is broken.
    """
    of = worth(asked.name)
    held, whole, state = 0, True, torch.get_rng_state()
    try:
        for claim in asked.claims(attempt):
            held, whole = held + (claim.counts and not claim.broken), whole and not claim.broken
    except (Exception, Fault, Stopped):
        whole = False
    finally:
        torch.set_rng_state(state)
    return (held if whole else min(held, of - 1)), of


@functools.cache
def worth(name: str) -> int:
    """How many claims about values an exercise has."""
    asked = EXERCISES[name]
    return sum(claim.counts for claim in asked.claims(Attempt(asked.course, unwatched(asked))))


def unwatched(asked: Exercise) -> Exercise:
    """The exercise for the course's own version, which may do it."""
    return replace(asked, watched={})


def grade(fn: Callable, name: str | None = None) -> None:
    """Raise unless the attempt passes."""
    found = verdict(fn, name)
    if found.status == "crashed":
        raise found.error
    if found.status != "passed":
        raise CheckFailed(f"{found.exercise.name}: {found.message}")
