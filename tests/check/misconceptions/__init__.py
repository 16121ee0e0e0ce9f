"""Wrong and right attempts at every exercise, written independently of the checks: `wrong` names what is to be said."""

import importlib
import pkgutil
from collections.abc import Callable

BANK: list[tuple[str, Callable, str | None]] = []  # exercise, attempt, a piece of the sentence; None: it is right


def wrong(exercise: str, said: str) -> Callable:
    def keep(attempt: Callable) -> Callable:
        BANK.append((exercise, attempt, said))
        return attempt

    return keep


def right(exercise: str) -> Callable:
    def keep(attempt: Callable) -> Callable:
        BANK.append((exercise, attempt, None))
        return attempt

    return keep


def bank() -> list[tuple[str, Callable, str | None]]:
    """All of them, from all modules of this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return BANK
