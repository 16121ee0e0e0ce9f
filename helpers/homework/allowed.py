"""Which of the eight sentences a table allows, and why: read from its numbers. Never part of a bundle."""

from collections.abc import Callable
from dataclasses import dataclass

from helpers.homework.sentences import Sentence, Slots
from helpers.homework.studies import GUESS, Row, Study
from helpers.homework.tables import Table


@dataclass(frozen=True)
class Rule:
    """When a sentence is allowed, and what to say to a student in either case."""

    holds: Callable[[Study, Slots], bool]
    yes: str
    no: str


def key(table: Table) -> dict[str, bool]:
    """For each letter whether the table allows the sentence."""
    return {letter: _holds(table.study, sentence) for letter, sentence in table.by_letter().items()}


def why(table: Table) -> dict[str, str]:
    """For each letter one sentence of feedback, with the numbers that decide."""
    return {letter: _because(table.study, sentence) for letter, sentence in table.by_letter().items()}


def _holds(study: Study, sentence: Sentence) -> bool:
    return bool(RULES[sentence.template].holds(study, sentence.slots))


def _because(study: Study, sentence: Sentence) -> str:
    rule = RULES[sentence.template]
    return (rule.yes if _holds(study, sentence) else rule.no).format(
        **sentence.slots, **_numbers(study, sentence.slots)
    )


def _numbers(study: Study, slots: Slots) -> dict[str, object]:
    """What a reason may name: of the pair, of the row, of the study."""
    theme, found = study.theme, {"study": study, "lost": _lost(study.differences[1])}
    none, control = study.row(theme.none), study.row(theme.control)
    gained, lost = (row.mean for row in study.differences[:2])
    found |= {"means": f"{lost:.1f} of {gained:.1f} points", "both": _shown(study.differences[1])}
    found["rows_of_all"] = "; ".join(f"“{row.name}” {_range(row)}" for row in (study.row(theme.idea), control, none))
    if "x" not in slots:
        return found
    x = study.row(slots["x"])
    found |= {"x_range": _range(x), "x_mean": f"{x.mean:.1f}", "gain": f"{_gain(study, slots):.0f}"}
    if "y" in slots:
        y = study.row(slots["y"])
        found |= {"y_range": _range(y), "points": f"{x.mean - y.mean:.1f}", "relative": f"{_relative(x, y):.1f}"}
        found["pair"] = _shown(study.difference(slots["x"], slots["y"]))
    return found


def _shown(row: Row | None) -> str:
    return "" if row is None else f"{row.mean:+.1f} points ({row.low:+.1f} to {row.high:+.1f})".replace("-", "−")


def _lost(row: Row) -> str:
    """What the idea loses without its essence, in words that fit the sign."""
    way, low, high = ("loses", row.low, row.high) if row.mean > 0 else ("gains", -row.high, -row.low)
    return f"{way} {abs(row.mean):.1f} points (95 % interval: {low:.1f} to {high:.1f})".replace("-", "−")


def _range(row: Row) -> str:
    return f"{row.low:.1f} to {row.high:.1f}"


def _pair(study: Study, slots: Slots) -> Row:
    return study.difference(slots["x"], slots["y"])


def _better(study: Study, slots: Slots) -> bool:
    """The paired difference lies above 0."""
    return _pair(study, slots).low > 0


def _apart(study: Study, first: str, second: str) -> bool:
    """The first row's interval lies above the second's: then any paired interval would lie above 0."""
    return study.row(first).low > study.row(second).high


def _relative(x: Row, y: Row) -> float:
    return 100 * (x.mean - y.mean) / y.mean


def _right_word(study: Study, slots: Slots) -> bool:
    x, y = study.row(slots["x"]), study.row(slots["y"])
    points, relative = abs(slots["p"] - (x.mean - y.mean)), abs(slots["p"] - _relative(x, y))
    return (points < relative) == (slots["word"] == "percentage points")


def _gain(study: Study, slots: Slots) -> float:
    """The row's share, in per cent, of what the idea gains over none."""
    none, idea = study.row(study.theme.none).mean, study.row(study.theme.idea).mean
    return 100 * (study.row(slots["x"]).mean - none) / (idea - none) if idea != none else 0.0


def _above_guess(study: Study, slots: Slots) -> bool:
    return study.row(slots["x"]).low > GUESS / 10


PAIR = "Their paired difference is {pair}: "
APART = "{x_range} against {y_range}: "
RULES = {
    "better": Rule(
        _better,
        PAIR + "the interval lies above 0.",
        PAIR + "the interval contains 0, so luck may explain it.",
    ),
    "open": Rule(
        lambda study, slots: not _better(study, slots),
        PAIR + "the interval contains 0, so it may be either way.",
        PAIR + "the interval lies above 0, so the table does tell.",
    ),
    "overlap": Rule(
        lambda study, slots: False,
        "",
        PAIR + "where differences are paired, that interval decides. Two that overlap say nothing about it.",
    ),
    "apart": Rule(
        lambda study, slots: _apart(study, slots["x"], slots["y"]),
        APART + "intervals that don't overlap are enough, paired or not.",
        APART + "they overlap, and no paired difference of these two is given.",
    ),
    "less": Rule(
        lambda study, slots: -slots["m"] < _pair(study, slots).low and _pair(study, slots).high < slots["m"],
        PAIR + "all of the interval is nearer to 0 than {m:.1f}.",
        PAIR + "the interval reaches beyond {m:.1f}; a mean below that is not enough.",
    ),
    "no_more": Rule(
        lambda study, slots: _pair(study, slots).high < slots["m"],
        PAIR + "all of the interval lies below {m:.1f}.",
        PAIR + "the interval reaches beyond {m:.1f}.",
    ),
    "at_least": Rule(
        lambda study, slots: _pair(study, slots).low >= slots["m"],
        PAIR + "all of the interval lies above {m:.1f}.",
        PAIR + "the interval begins below {m:.1f}; a mean above that is not enough.",
    ),
    "needs": Rule(
        lambda study, slots: study.differences[1].low > 0,
        "With {undone} it {lost}: an intervention, and the interval lies above 0.",
        "With {undone} it {lost}: the interval contains 0, so there may be no loss at all.",
    ),
    "costs": Rule(
        lambda study, slots: _pair(study, slots).high < slots["m"],
        PAIR + "all of the interval lies below {m:.1f}.",
        PAIR + "the interval reaches beyond {m:.1f}, whether or not it contains 0.",
    ),
    "values": Rule(
        lambda study, slots: slots["count"] == study.n,
        "{study.n} {study.theme.units}: {study.theme.queries} of the same one share its luck.",
        "There are {study.n} {study.theme.units}; {study.theme.queries} of the same one share its luck.",
    ),
    "more": Rule(
        lambda study, slots: slots["more"].startswith(study.theme.units),
        "The intervals are over {study.theme.units}, and shrink with the square root of their number.",
        "The intervals are over {study.theme.units}: more in each of the same leaves their luck in place.",
    ),
    "expect": Rule(
        lambda study, slots: study.chosen_elsewhere,
        "It was chosen on other {units} and other {study.theme.queries}: luck there doesn't raise this mean.",
        "It is the best of {study.tried} on the very {study.theme.queries} it is counted on: part of that is luck.",
    ),
    "lucky": Rule(
        lambda study, slots: not study.chosen_elsewhere,
        "It is the best of {study.tried} on the very {study.theme.queries} it is counted on.",
        "It was chosen on other {units} and other {study.theme.queries}: luck there doesn't raise this mean.",
    ),
    "points": Rule(
        _right_word,
        "The means are {points} percentage points apart, which is {relative} per cent of the lower one.",
        "The means are {points} percentage points apart, which is {relative} per cent of the lower one.",
    ),
    "share": Rule(
        lambda study, slots: abs(slots["p"] - _gain(study, slots)) < 4,
        "Above “{none}” it has {gain} per cent of the gain.",
        "Above “{none}” it has {gain} per cent of the gain; {p:.0f} is its share of the whole score.",
    ),
    "half": Rule(
        lambda study, slots: 2 * study.differences[1].mean > study.differences[0].mean,
        "In the means “{control}” loses {means}.",
        "In the means “{control}” loses {means}: that is not more than half.",
    ),
    "above": Rule(_above_guess, "{x_range} lies above {guess}.", "{x_range} contains {guess}."),
    "guessing": Rule(
        lambda study, slots: not _above_guess(study, slots),
        "{x_range} contains {guess}.",
        "{x_range} lies above {guess}, which guessing gives.",
    ),
    "model": Rule(
        lambda study, slots: slots["model"] == study.theme.model and _better(study, slots),
        PAIR + "the interval lies above 0, and this is the model that was measured.",
        "Measured was {study.theme.model}; of another the table says nothing.",
    ),
    "elsewhere": Rule(
        lambda study, slots: slots["model"] != study.theme.model or not _better(study, slots),
        "Measured was {study.theme.model}; of another the table says nothing.",
        PAIR + "the interval lies above 0, and this is the model that was measured.",
    ),
    "spread": Rule(
        lambda study, slots: False,
        "",
        "That is where the mean over all {units} plausibly lies; single ones are spread wider.",
    ),
    "because": Rule(lambda study, slots: False, "", "The table shows a difference; nothing in it varied that reason."),
    "equal": Rule(
        lambda study, slots: False,
        "",
        PAIR + "it may be 0, and it may be any other number in there. Not seeing a difference is not seeing none.",
    ),
    "only_one": Rule(
        lambda study, slots: False,
        "",
        "One may be clear and the other nearly so ({rows_of_all}). What decides is their paired difference, {both}.",
    ),
    "again": Rule(lambda study, slots: True, "Means vary from draw to draw; the intervals say by how much.", ""),
    "outside": Rule(lambda study, slots: True, "Of 95 % intervals one in twenty misses.", ""),
}
