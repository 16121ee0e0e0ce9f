"""The bank of sentences that one may be tempted to conclude from a study, and how eight of them are drawn.

Standard library only: a copy lies in every student's bundle. What a sentence is worth is not in here. What fills its
gaps is tossed, so that no sentence is right or wrong whatever the numbers; those few that always are make a group of
their own, from which each table has one.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

if __package__:
    from . import draws
    from .studies import GUESS, Row, Study, between, coin, pick, two
else:
    import draws
    from studies import GUESS, Row, Study, between, coin, pick, two

LETTERS = "ABCDEFGH"  # of a table's sentences
Slots = dict[str, str | float | int]
T = TypeVar("T")


@dataclass(frozen=True)
class Sentence:
    """A sentence of the bank, and what fills its gaps."""

    template: str
    slots: Slots

    def text(self) -> str:
        """What the student reads."""
        return BANK[self.template].text.format(**self.slots)

    def pairs(self) -> set[tuple[str, ...]]:
        """Which rows it compares, two by two."""
        named = {name for name in ("none", "idea", "control") if f"{{{name}}}" in BANK[self.template].text}
        return set(itertools.combinations(sorted({self.slots[n] for n in named | ({*"xy"} & self.slots.keys())}), 2))


@dataclass(frozen=True)
class Template:
    """A sentence with gaps; of each group a table has at most one."""

    group: str
    text: str
    fill: Callable[[Study, Random], Slots | None]  # None where one could argue about it with these numbers
    says: str = ""  # "which" is better or of what "size" a difference is: of a pair a table has each at most once


def draw_sentences(study: Study, by: Random) -> list[Sentence]:
    """Seven sentences on seven different things and one that is right or wrong in any table, in a random order.

    Fewer where these numbers have too little to say.
    """
    found = _drawn(study, by)
    chosen = {str(place): sentence for place, sentence in enumerate(found)}
    return [chosen[place] for place in draws.shuffled(chosen, by)]


def _drawn(study: Study, by: Random) -> list[Sentence]:
    """Eight sentences, or fewer where too many would say the same."""
    found = []
    for group in ["always", *draws.shuffled(sorted({template.group for template in BANK.values()} - {"always"}), by)]:
        found += _of_group(group, study, by, found) if len(found) < len(LETTERS) else []
    return found


def _of_group(group: str, study: Study, by: Random, found: Sequence[Sentence]) -> list[Sentence]:
    """A sentence of this group that makes sense with these numbers and says something new."""
    names = draws.shuffled([name for name, template in BANK.items() if template.group == group], by)
    for name in names * 3:
        slots = BANK[name].fill(study, by)
        if slots is not None and _is_new(Sentence(name, slots), found):
            return [Sentence(name, slots)]
    return []


def _is_new(sentence: Sentence, found: Sequence[Sentence]) -> bool:
    """Whether none of those found says the same, and on no pair of rows there are three already."""
    says, count = BANK[sentence.template].says, Counter(pair for other in found for pair in other.pairs())
    said = {pair for other in found if says and BANK[other.template].says == says for pair in other.pairs()}
    return not said & sentence.pairs() and all(count[pair] < 3 for pair in sentence.pairs())


def _either(by: Random, first: Sequence[T], second: Sequence[T]) -> T | None:
    """One of the first or one of the second, by toss; None where there are not both."""
    return pick(by, first if coin(by) else second) if first and second else None


def _xy(row: Row) -> Slots:
    """The two that a difference compares."""
    return dict(zip("xy", two(row), strict=True))


def _names(study: Study, by: Random) -> Slots:
    """What may stand in a gap without a toss."""
    theme = study.theme
    names = {name: getattr(theme, name) for name in ("none", "idea", "control", "essence", "undone", "units", "choice")}
    return {**names, "tuned": study.rows[-1].name, "n": study.n}


def _pairs(study: Study) -> list[Row]:
    """The listed differences, each as the higher minus the lower."""
    return [row if row.mean >= 0 else study.difference(*reversed(two(row))) for row in study.differences]


def _compared(study: Study, by: Random) -> Slots | None:
    """Two rows with a listed difference, the higher first."""
    return _resolved_or_not(_pairs(study), by)


def _overlapping(study: Study, by: Random) -> Slots | None:
    """The same, where the rows' own intervals overlap."""
    return _resolved_or_not([row for row in _pairs(study) if study.gap(*two(row)) <= -0.5], by)


def _resolved_or_not(pairs: Sequence[Row], by: Random) -> Slots | None:
    row = _either(by, [row for row in pairs if row.low > 0], [row for row in pairs if row.low < 0])
    return row and _xy(row)


def _apart(study: Study, by: Random) -> Slots | None:
    """Two rows without a listed difference, the higher first."""
    theme = study.theme
    pairs = [(theme.control, theme.none), (theme.rival, theme.none), (theme.rival, theme.control)]
    pairs = [sorted(pair, key=lambda name: -study.row(name).mean) for pair in pairs]
    gaps = [(study.gap(*pair), pair) for pair in pairs]
    found = _either(by, [pair for gap, pair in gaps if gap >= 0.5], [pair for _, pair in gaps if study.unclear(*pair)])
    return found and dict(zip("xy", found, strict=True))


def _around(by: Random, bound: float, least: float) -> float:
    """A number a little above the bound, or one between it and `least`, by toss."""
    bound, least = round(10 * bound), round(10 * least)
    return (between(by, bound + 5, bound + 20) if coin(by) else between(by, least, max(bound - 5, least))) / 10


def _less(study: Study, by: Random) -> Slots:
    row = pick(by, _pairs(study))
    return {**_xy(row), "m": _around(by, row.high, row.mean + 0.3)}


def _no_more(study: Study, by: Random) -> Slots | None:
    rows = [row for row in study.differences[::2] if row.high > 1.5]
    row = pick(by, rows) if rows else None
    return row and {**_xy(row), "m": _around(by, row.high, max(row.mean, 0) + 0.5)}


def _at_least(study: Study, by: Random) -> Slots | None:
    rows = [row for row in _pairs(study) if row.low > 1.3]
    if not rows:
        return None
    row = pick(by, rows)
    low, mean = round(10 * row.low), round(10 * row.mean)
    return {**_xy(row), "m": (between(by, max(low - 25, 5), low - 5) if coin(by) else between(by, low + 5, mean)) / 10}


def _costs(study: Study, by: Random) -> Slots | None:
    row = study.differences[1]
    slots = {**_names(study, by), **_xy(row)}
    return {**slots, "m": _around(by, row.high, max(row.mean, 0) + 0.5)} if row.high > 1.5 else None


def _values(study: Study, by: Random) -> Slots:
    return {"count": study.n * (1 if coin(by) else study.asked)}


def _more(study: Study, by: Random) -> Slots:
    units, queries = study.theme.units, study.theme.queries
    return {"more": f"{units}, of as many {queries} each" if coin(by) else f"{queries} in the same {units}"}


def _points(study: Study, by: Random) -> Slots | None:
    rows = [row for row in _pairs(study) if row.mean >= 2]
    if not rows:
        return None
    row = pick(by, rows)
    relative = 100 * row.mean / study.row(two(row)[1]).mean
    word = "percentage points" if coin(by) else "per cent"
    return {**_xy(row), "p": round(row.mean if coin(by) else relative, 1), "word": word}


def _gained(study: Study) -> bool:
    """Whether there is a gain of which one may take a share."""
    return study.differences[0].low > 0 and study.differences[0].mean >= 3


def _part_left(study: Study) -> bool:
    """Whether there is a gain, and in the means the control has a part of it: else it may do harm of its own."""
    theme = study.theme
    return _gained(study) and study.row(theme.control).mean - study.row(theme.none).mean >= 1


def _needs(study: Study, by: Random) -> Slots | None:
    """Seldom where it would be wrong, or it would nearly always be."""
    asked = study.differences[1].low > 0 or by.random() < 0.1
    return _names(study, by) if asked and _part_left(study) else None


def _share(study: Study, by: Random) -> Slots | None:
    theme = study.theme
    none, idea = study.row(theme.none).mean, study.row(theme.idea).mean
    others = [name for name in (theme.control, theme.rival) if study.row(name).mean - none >= 1]
    if not _gained(study) or not others:
        return None
    name = pick(by, others)
    gain, ratio = 100 * (study.row(name).mean - none) / (idea - none), 100 * study.row(name).mean / idea
    p = round(gain if coin(by) else ratio)
    return {**_names(study, by), "x": name, "p": p} if abs(gain - ratio) >= 10 else None


def _half(study: Study, by: Random) -> Slots | None:
    gained, lost = (row.mean for row in study.differences[:2])
    clear = _part_left(study) and lost > 0.2 and abs(lost / gained - 0.5) > 0.1
    return _names(study, by) if clear else None


def _guess(study: Study, by: Random) -> Slots | None:
    rows, guess = study.rows[:-1], GUESS / 10
    above = [row for row in rows if row.low - guess >= 0.5]
    row = _either(by, above, [row for row in rows if guess - row.low >= 0.5 and row.high - guess >= 0.5])
    return row and {"x": row.name, "guess": f"{guess:.1f}"}


def _model(study: Study, by: Random) -> Slots | None:
    """A difference that is resolved, in this model or in another."""
    rows = [row for row in _pairs(study) if row.low > 0]
    model = study.theme.model if coin(by) else study.theme.other
    return {**_xy(pick(by, rows)), "model": model} if rows else None


def _row(study: Study, by: Random) -> Slots:
    row = pick(by, study.rows[:-1])
    return {**_names(study, by), "x": row.name, "low": row.low, "high": row.high}


def _because(study: Study, by: Random) -> Slots | None:
    row = _pairs(study)[2]
    return {**_xy(row), "reason": study.theme.reason} if row.low > 0 and two(row)[0] == study.theme.rival else None


def _equal(study: Study, by: Random) -> Slots | None:
    rows = [row for row in _pairs(study) if row.low < 0]
    return _xy(pick(by, rows)) if rows else None


def _only_one(study: Study, by: Random) -> Slots | None:
    """The idea is clearly above none, the control is not."""
    theme = study.theme
    clear = study.differences[0].low > 0 and study.unclear(theme.control, theme.none)
    return _names(study, by) if clear else None


BANK = {
    "better": Template(
        "which", "“{x}” is better than “{y}”, by more than the luck of the draw explains.", _compared, "which"
    ),
    "open": Template("which", "Which of “{x}” and “{y}” is better, the table leaves open.", _compared, "which"),
    "apart": Template("apart", "The intervals of “{x}” and “{y}” are enough to call “{x}” the better one.", _apart),
    "less": Template(
        "size", "As far as a 95 % interval tells, “{x}” and “{y}” are less than {m:.1f} points apart.", _less, "size"
    ),
    "no_more": Template(
        "size",
        "As far as a 95 % interval tells, “{x}” gains less than {m:.1f} points over “{y}”, if any.",
        _no_more,
        "size",
    ),
    "at_least": Template(
        "least", "As far as a 95 % interval tells, “{x}” gains at least {m:.1f} points over “{y}”.", _at_least, "size"
    ),
    "needs": Template(
        "needs",
        "Part of what “{idea}” gains over “{none}” needs {essence}: “{control}” gains less.",
        _needs,
        "which",
    ),
    "costs": Template(
        "control", "As far as a 95 % interval tells, {undone} cost “{x}” less than {m:.1f} points.", _costs, "size"
    ),
    "values": Template("unit", "Each interval of the first table rests on {count} independent values.", _values),
    "more": Template("unit", "With four times as many {more}, each interval would be about half as wide.", _more),
    "expect": Template(
        "choice",
        "“{tuned}”: its mean is a fair estimate for this {choice} on new {units}, since choosing didn't raise it.",
        _names,
    ),
    "lucky": Template(
        "choice",
        "“{tuned}”: this {choice} was chosen for its score here, so partly for luck. On new {units} expect less.",
        _names,
    ),
    "points": Template("points", "In the means, “{x}” is {p:.1f} {word} above “{y}”.", _points),
    "share": Template(
        "share", "In the means, “{x}” has {p:.0f} per cent of what “{idea}” gains over “{none}”.", _share
    ),
    "half": Template(
        "share", "In the means, “{control}” loses more than half of what “{idea}” gains over “{none}”.", _half
    ),
    "above": Template("guess", "“{x}” is better than guessing, which gives {guess} per cent.", _guess),
    "guessing": Template("guess", "For all that the table shows, “{x}” may be no better than guessing.", _guess),
    "model": Template("model", "In {model}, “{x}” is better than “{y}”.", _model, "which"),
    "elsewhere": Template(
        "model", "Whether “{x}” is better than “{y}” in {model}, the table leaves open.", _model, "which"
    ),
    "spread": Template(
        "always", "In 95 of 100 {units}, “{x}” gets between {low:.1f} and {high:.1f} per cent right.", _row
    ),
    "because": Template("always", "“{x}” is better than “{y}”, and the reason is that {reason}.", _because, "which"),
    "equal": Template(
        "always", "The interval of their difference contains 0: so “{x}” and “{y}” are equally good.", _equal, "which"
    ),
    "overlap": Template(
        "always",
        "The intervals of “{x}” and “{y}” overlap: this alone shows that the table can't tell which is better.",
        _overlapping,
        "which",
    ),
    "only_one": Template(
        "always",
        "“{idea}” is clearly above “{none}” and “{control}” is not: this alone shows “{idea}” above “{control}”.",
        _only_one,
        "which",
    ),
    "again": Template("always", "With {n} other {units} the means would be somewhat different.", _names),
    "outside": Template("always", "The mean of “{x}” over very many {units} may lie outside its interval.", _row),
}
