"""The numbers of a small made-up study, drawn for a student.

Standard library only: a copy lies in every student's bundle. All numbers have one decimal, and none that are compared
come near each other.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

GUESS = 250  # of four possible answers; inside this file shares are counted in tenths of a per cent
MARGIN = 8  # tenths: no bound comes nearer to what it is compared with
MIXED = [kinds for kinds in itertools.product((True, False), repeat=3) if len(set(kinds)) == 2]  # which are resolved
T = TypeVar("T")


@dataclass(frozen=True)
class Theme:
    """What a notebook's table is about; higher is better in all of them."""

    title: str
    about: str
    units: str  # what the intervals are over
    queries: str  # what is counted within one of them
    none: str
    idea: str
    control: str  # the idea without what it is said to need
    rival: str
    tuned: str
    essence: str  # what the control takes away
    undone: str  # what it has instead, in the plural
    choice: str  # what the tuned row is the best of
    reason: str  # tempting, and nothing that such a table can show
    model: str
    other: str


@dataclass(frozen=True)
class Row:
    """A mean and its 95 % interval, in per cent."""

    name: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Study:
    """Five ways to do one thing, and three paired differences to one of them."""

    theme: Theme
    n: int
    asked: int  # queries for each of the n
    tried: int
    chosen_elsewhere: bool  # whether the best of those tried was chosen on other queries than those counted here
    rows: tuple[Row, ...]
    differences: tuple[Row, ...]  # idea minus none, minus control, minus rival

    def row(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def difference(self, first: str, second: str) -> Row | None:
        """The paired difference, whichever way round it is listed; None where the study has none."""
        for row in self.differences:
            if row.name == minus(first, second):
                return row
            if row.name == minus(second, first):
                return Row(minus(first, second), -row.mean, -row.high, -row.low, row.n)
        return None

    def unclear(self, first: str, second: str) -> bool:
        """Whether two rows are too near to be told apart without a paired difference, even as independent ones."""
        one, other = self.row(first), self.row(second)
        both = math.hypot(one.high - one.low, other.high - other.low) / 2
        return abs(one.mean - other.mean) < 0.9 * both

    def gap(self, first: str, second: str) -> float:
        """How far apart the intervals of two rows are; below 0 where they overlap."""
        one, other = sorted((self.row(first), self.row(second)), key=lambda row: row.mean)
        return other.low - one.high


def minus(first: str, second: str) -> str:
    """The name of a difference."""
    return f"{first} − {second}"


def two(difference: Row) -> list[str]:
    """The names of the two that a difference compares."""
    return difference.name.split(" − ")


THEMES = {
    "01": Theme(
        title="Reading back what was written",
        about="Small models read pairs of a key and one of four letters; then one key's letter is asked for.",
        units="trainings",
        queries="keys",
        none="no state",
        idea="linear attention",
        control="linear attention, letters shuffled among the keys",
        rival="softmax attention",
        tuned="linear attention, best of {} widths",
        essence="the right pairing of keys and letters",
        undone="shuffled letters",
        choice="width",
        reason="it looks at every earlier token again",
        model="a model of one layer",
        other="a model of 30 layers",
    ),
    "02": Theme(
        title="A layer that was trained",
        about="A linear layer learns to tell four kinds of digit apart, from a hundred of them drawn anew each time.",
        units="draws of training digits",
        queries="test digits",
        none="untrained",
        idea="ten steps",
        control="ten steps on shuffled labels",
        rival="ten steps with momentum",
        tuned="ten steps at the best of {} rates",
        essence="right labels",
        undone="shuffled labels",
        choice="rate",
        reason="its older errors go on working",
        model="a layer of 64 inputs",
        other="a network of ten layers",
    ),
    "03": Theme(
        title="A prompt as a patch of weights",
        about="Queries come alone, or after a prompt, or alone to weights with a patch that was made from the prompt.",
        units="draws of demonstrations",
        queries="queries",
        none="no prompt, no patch",
        idea="patch",
        control="patch from shuffled labels",
        rival="the prompt itself",
        tuned="patch in the best of {} layers",
        essence="right labels",
        undone="shuffled labels",
        choice="layer",
        reason="a patch belongs to one query",
        model="a GPT of 135 million parameters",
        other="a GPT of 2.7 billion parameters",
    ),
    "04": Theme(
        title="In context and finetuned",
        about="A GPT answers without demonstrations, with 16 of them in its context, or finetuned on the same 16.",
        units="draws of demonstrations",
        queries="queries",
        none="zero-shot",
        idea="in context",
        control="in context, labels shuffled",
        rival="finetuned",
        tuned="finetuned at the best of {} rates",
        essence="right labels",
        undone="shuffled labels",
        choice="rate",
        reason="both follow the same gradient",
        model="a GPT of 135 million parameters",
        other="a GPT of 2.7 billion parameters",
    ),
    "06": Theme(
        title="Momentum in attention",
        about="Small models read pairs of a key and one of four values; then one key's value is asked for.",
        units="trainings",
        queries="keys",
        none="plain attention",
        idea="momentum",
        control="momentum, over values in random order",
        rival="a recency bias",
        tuned="momentum with the best of {} fixed η",
        essence="the order of the values",
        undone="values in random order",
        choice="η",
        reason="it asks nothing of the query",
        model="a model of two layers",
        other="a model of 24 layers",
    ),
}


# Whether a difference is resolved is tossed first, its size drawn to suit; all in tenths of a per cent.


def draw_study(theme: Theme, by: Random) -> Study:
    """A study on this theme."""
    n, asked, tried = pick(by, (8, 10, 12, 16)), pick(by, (400, 500, 600)), pick(by, (6, 8, 12))
    names = theme.none, theme.idea, theme.control, theme.rival, theme.tuned.format(tried)
    wide = {name: between(by, 30, 50) for name in names}  # wider than the luck of the queries alone would make them
    means, pairs = {theme.none: 0}, {}
    signs = {theme.none: 1, theme.control: 1, theme.rival: 1 if coin(by) else -1}
    for (name, sign), clear in zip(signs.items(), pick(by, MIXED), strict=True):
        size, width = _difference(by, wide[theme.idea], wide[name], clear)
        pairs[name] = sign * size, width
    means[theme.idea] = pairs[theme.none][0]
    means |= {name: means[theme.idea] - pairs[name][0] for name in (theme.control, theme.rival)}
    means[names[-1]] = means[theme.idea] + between(by, MARGIN, 60)  # the plain one is among those tried
    lowest = min(means, key=means.get)
    above = GUESS - means[lowest] + (between(by, wide[lowest] + MARGIN, 110) if coin(by) else _within(by, wide[lowest]))
    return Study(
        theme=theme,
        n=n,
        asked=asked,
        tried=tried,
        chosen_elsewhere=coin(by),
        rows=tuple(_row(name, means[name] + above, wide[name], n) for name in names),
        differences=tuple(_row(minus(theme.idea, name), *pair, n) for name, pair in pairs.items()),
    )


def _row(name: str, mean: int, width: int, n: int) -> Row:
    return Row(name, mean / 10, (mean - width) / 10, (mean + width) / 10, n)


def _difference(by: Random, one: int, other: int, clear: bool) -> tuple[int, int]:
    """A paired difference and its half width, which lies between the difference and the sum of the two rows' own."""
    both, least = one + other, abs(one - other) + 2
    if not clear:
        width = max(between(by, both // 2, 9 * both // 10), least)
        return _within(by, width), width
    width = max(between(by, 4 * both // 10, 6 * both // 10), least)
    if coin(by) and width + MARGIN <= both - MARGIN:  # the rows' intervals overlap, and still it is resolved
        return between(by, width + MARGIN, both - MARGIN), width
    return between(by, both + MARGIN, both + 50), width


def _within(by: Random, width: int) -> int:
    """A number whose interval of this half width contains 0."""
    return between(by, MARGIN - width, width - MARGIN)


def between(by: Random, low: int, high: int) -> int:
    """A whole number, both ends included."""
    return low + int(by.random() * (high - low + 1))


def pick(by: Random, items: Sequence[T]) -> T:
    """One of the items."""
    return items[int(by.random() * len(items))]


def coin(by: Random) -> bool:
    """Heads or tails."""
    return by.random() < 0.5
