"""Tables of made-up numbers: what they allow, that no answer hangs on rounding, that no rule of thumb wins."""

import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.homework import allowed, tables
from helpers.homework.sentences import BANK, Sentence
from helpers.homework.studies import THEMES, Row, Study

STUDENTS = [f"st{number}" for number in range(400)]
ALL = {assignment: [tables.table("2026", assignment, student) for student in STUDENTS] for assignment in THEMES}
TABLES = [table for those in ALL.values() for table in those]

THEME = THEMES["04"]
ZERO, ICL, SHUFFLED, FT = THEME.none, THEME.idea, THEME.control, THEME.rival
STUDY = Study(
    theme=THEME,
    n=10,
    asked=400,
    tried=8,
    chosen_elsewhere=False,
    rows=(
        Row(ZERO, 26.0, 23.0, 29.0, 10),
        Row(ICL, 34.0, 31.0, 37.0, 10),
        Row(SHUFFLED, 30.0, 27.0, 33.0, 10),
        Row(FT, 35.0, 31.0, 39.0, 10),
        Row(THEME.tuned.format(8), 36.0, 33.0, 39.0, 10),
    ),
    differences=(
        Row(f"{ICL} − {ZERO}", 8.0, 5.0, 11.0, 10),
        Row(f"{ICL} − {SHUFFLED}", 4.0, 2.0, 6.0, 10),
        Row(f"{ICL} − {FT}", -1.0, -4.0, 2.0, 10),
    ),
)
ELSEWHERE = replace(STUDY, chosen_elsewhere=True)
MEANT_WELL = replace(STUDY, differences=(*STUDY.differences[:1], Row(f"{ICL} − {SHUFFLED}", 4.0, -1.0, 9.0, 10)))
CASES = [
    (STUDY, "better", {"x": ICL, "y": ZERO}, True),
    (STUDY, "better", {"x": FT, "y": ICL}, False),
    (STUDY, "open", {"x": FT, "y": ICL}, True),
    (STUDY, "open", {"x": ICL, "y": SHUFFLED}, False),
    (STUDY, "apart", {"x": SHUFFLED, "y": ZERO}, False),
    (STUDY, "apart", {"x": FT, "y": ZERO}, True),
    (STUDY, "less", {"x": FT, "y": ICL, "m": 4.5}, True),
    (STUDY, "less", {"x": FT, "y": ICL, "m": 2.5}, False),
    (STUDY, "no_more", {"x": ICL, "y": FT, "m": 3.0}, True),
    (STUDY, "no_more", {"x": ICL, "y": FT, "m": 1.0}, False),
    (STUDY, "at_least", {"x": ICL, "y": ZERO, "m": 4.0}, True),
    (STUDY, "at_least", {"x": ICL, "y": ZERO, "m": 7.0}, False),
    (STUDY, "needs", {}, True),
    (MEANT_WELL, "needs", {}, False),
    (STUDY, "costs", {"x": ICL, "y": SHUFFLED, "m": 7.0}, True),
    (STUDY, "costs", {"x": ICL, "y": SHUFFLED, "m": 5.0}, False),
    (STUDY, "values", {"count": 10}, True),
    (STUDY, "values", {"count": 4000}, False),
    (STUDY, "more", {"more": "draws of demonstrations, of as many queries each"}, True),
    (STUDY, "more", {"more": "queries in the same draws of demonstrations"}, False),
    (STUDY, "expect", {"tuned": "", "choice": "rate", "queries": "queries"}, False),
    (ELSEWHERE, "expect", {"tuned": "", "choice": "rate", "queries": "queries"}, True),
    (STUDY, "lucky", {"tuned": "", "choice": "rate", "queries": "queries"}, True),
    (ELSEWHERE, "lucky", {"tuned": "", "choice": "rate", "queries": "queries"}, False),
    (STUDY, "points", {"x": ICL, "y": ZERO, "p": 8.0, "word": "percentage points"}, True),
    (STUDY, "points", {"x": ICL, "y": ZERO, "p": 30.8, "word": "per cent"}, True),
    (STUDY, "points", {"x": ICL, "y": ZERO, "p": 8.0, "word": "per cent"}, False),
    (STUDY, "points", {"x": ICL, "y": ZERO, "p": 30.8, "word": "percentage points"}, False),
    (STUDY, "share", {"x": SHUFFLED, "idea": ICL, "none": ZERO, "p": 50}, True),
    (STUDY, "share", {"x": SHUFFLED, "idea": ICL, "none": ZERO, "p": 88}, False),
    (
        replace(STUDY, differences=(STUDY.differences[0], Row(f"{ICL} − {SHUFFLED}", 6.0, 3.0, 9.0, 10))),
        "half",
        {},
        True,
    ),
    (
        replace(STUDY, differences=(STUDY.differences[0], Row(f"{ICL} − {SHUFFLED}", 2.0, -1.0, 5.0, 10))),
        "half",
        {},
        False,
    ),
    (STUDY, "above", {"x": SHUFFLED, "guess": "25.0"}, True),
    (STUDY, "above", {"x": ZERO, "guess": "25.0"}, False),
    (STUDY, "guessing", {"x": ZERO, "guess": "25.0"}, True),
    (STUDY, "guessing", {"x": SHUFFLED, "guess": "25.0"}, False),
    (STUDY, "model", {"x": ICL, "y": ZERO, "model": THEME.model}, True),
    (STUDY, "model", {"x": ICL, "y": ZERO, "model": THEME.other}, False),
    (STUDY, "elsewhere", {"x": ICL, "y": ZERO, "model": THEME.model}, False),
    (STUDY, "elsewhere", {"x": ICL, "y": ZERO, "model": THEME.other}, True),
]
ALWAYS = dict.fromkeys(["spread", "because", "equal", "overlap", "only_one"], False) | {"again": True, "outside": True}


@pytest.mark.parametrize(("study", "template", "slots", "expected"), CASES)
def test_by_hand(study, template, slots, expected):
    drawn = (Sentence(template, slots),) * 8
    assert allowed.key(tables.Table(study, drawn))["A"] is expected


def test_every_template_is_judged_by_hand():
    assert {template for _, template, _, _ in CASES} | set(ALWAYS) == set(BANK) == set(allowed.RULES)


def test_each_sentence_is_sometimes_allowed_and_sometimes_not():
    seen = defaultdict(set)
    for table in TABLES:
        for letter, sentence in table.by_letter().items():
            seen[sentence.template].add(allowed.key(table)[letter])
    assert seen.keys() == BANK.keys()
    assert {name: truths for name, truths in seen.items() if len(truths) == 1} == {n: {t} for n, t in ALWAYS.items()}


def test_eight_sentences_each_with_a_reason():
    for table in TABLES:
        assert list(table.sentences) == list("ABCDEFGH")
        assert len({sentence.template for sentence in table.drawn}) == len(set(table.sentences.values())) == 8
        assert allowed.why(table).keys() == table.sentences.keys()
        assert all(why.endswith(".") and "{" not in why for why in allowed.why(table).values())
    assert 3.5 < sum(sum(allowed.key(table).values()) for table in TABLES) / len(TABLES) < 4.5


@pytest.mark.parametrize("assignment", THEMES)
def test_no_answer_hangs_on_rounding(assignment):
    for table in ALL[assignment]:
        for shift in (-0.05, 0.05):  # what one decimal hides, the worst way round
            study = table.study
            rows = tuple(replace(r, low=r.low + shift, high=r.high - shift) for r in study.rows)
            differences = tuple(replace(r, low=r.low + shift, high=r.high - shift) for r in study.differences)
            moved = tables.Table(replace(study, rows=rows, differences=differences), table.drawn)
            assert allowed.key(moved) == allowed.key(table)


@pytest.mark.parametrize("assignment", THEMES)
def test_a_table_could_be_real(assignment):
    for study in (table.study for table in ALL[assignment]):
        means = {row.name: row.mean for row in study.rows}
        widths = {row.name: (row.high - row.low) / 2 for row in study.rows}
        assert all(5 < row.low < row.high < 95 and row.n == study.n for row in study.rows)
        for row in study.differences:
            one, other = row.name.split(" − ")
            assert row.mean == pytest.approx(means[one] - means[other])
            least, most = abs(widths[one] - widths[other]), widths[one] + widths[other]
            assert least <= (row.high - row.low) / 2 + 1e-9 <= most + 1e-6  # correlations lie between −1 and 1


def found(name):
    """Each sentence made of this template, with the study it is about and its key."""
    for table in TABLES:
        for letter, sentence in table.by_letter().items():
            if sentence.template == name:
                yield table.study, sentence.slots, allowed.key(table)[letter], allowed.why(table)[letter]


def mean(study, name):
    return study.row(getattr(study.theme, name)).mean


def half_width(study, name):
    return (study.row(name).high - study.row(name).low) / 2


def test_loss_of_the_control_is_asked_only_where_there_is_a_gain_to_lose():
    """A control below "none" may do harm of its own: then a loss is no sign of what the idea needs."""
    for name in ("needs", "half"):
        for study, _, _, why in found(name):
            assert study.differences[0].low > 0
            assert mean(study, "control") >= mean(study, "none") + 0.99
            assert "−" not in why.split("interval")[0]
    for study, _, key, why in found("needs"):
        assert ("it loses" in why) == (study.differences[1].mean > 0)
        assert key == (study.differences[1].low > 0)
    assert all(0 < study.differences[1].mean < study.differences[0].mean for study, _, _, _ in found("half"))


@pytest.mark.parametrize("name", ["apart", "only_one"])
def test_rows_without_a_difference_are_far_apart_or_near_each_other(name):
    """In between they could be told apart if they were independent, and one may argue."""
    for study, slots, key, _ in found(name):
        x, y = (slots["x"], slots["y"]) if name == "apart" else (slots["control"], slots["none"])
        gap, one, other = abs(study.row(x).mean - study.row(y).mean), half_width(study, x), half_width(study, y)
        assert gap > one + other if key else gap < (one**2 + other**2) ** 0.5 * 0.9 + 1e-9


def test_the_best_of_several_is_above_the_plain_one_and_where_it_was_chosen_is_said():
    for table in TABLES:
        study = table.study
        assert study.rows[-1].mean > mean(study, "idea") + 0.5
        other = f"chosen on other {study.theme.units} with other {study.theme.queries}"
        same = f"chosen on the very {study.theme.units} and {study.theme.queries} that are counted"
        assert (other in table.text(), same in table.text()) == (study.chosen_elsewhere, not study.chosen_elsewhere)


def test_more_queries_alone_would_not_halve_an_interval():
    """The luck of the queries alone, at most √(p (1 − p) / queries) a unit, is less than half of the variance."""
    for study in (table.study for table in TABLES):
        for row in study.rows:
            luck = 2.37 * 100 * (row.mean / 100 * (1 - row.mean / 100) / study.asked / study.n) ** 0.5
            assert luck**2 < 0.5 * half_width(study, row.name) ** 2


def test_nothing_is_asked_twice_and_one_pair_of_rows_not_four_times():
    for table in TABLES:
        pairs = [(BANK[one.template].says, one.pairs()) for one in table.drawn]
        each = Counter(pair for _, those in pairs for pair in those)
        assert max(each.values(), default=0) <= 3
        said = Counter((says, pair) for says, those in pairs if says for pair in those)
        assert max(said.values()) == 1


def test_by_their_words_no_two_sentences_say_the_same():
    """Read from the text, as a student does: who is better than whom stands there once, in whatever words."""
    for table in TABLES:
        texts = list(table.sentences.values())
        for row in table.study.differences:
            both = [text for text in texts if all(f"“{name}”" in text for name in row.name.split(" − "))]
            assert len(both) <= 3
            assert sum("better" in text or "equally good" in text for text in both) <= 1
            assert sum("As far as a 95 % interval tells" in text for text in both) <= 1


def test_every_table_resolves_something_and_leaves_something_open():
    """So that there is something to write about, in the paragraph, for everyone."""
    assert all({row.low > 0 or row.high < 0 for row in table.study.differences} == {True, False} for table in TABLES)


def test_losses_and_gains_have_no_sign_of_their_own():
    row = Row("a − b", -1.7, -4.2, 0.8, 10)
    assert allowed._lost(row) == "gains 1.7 points (95 % interval: −0.8 to 4.2)"
    assert allowed._lost(replace(row, mean=8.4, low=5.0, high=11.8)).startswith("loses 8.4 points (95 % interval: 5.0")


def test_no_rule_of_thumb_wins():
    """Nor one that has seen a thousand solved tables, and knows each sentence's usual answer."""
    truths = defaultdict(list)
    for table in TABLES:
        for letter, sentence in table.by_letter().items():
            truths[sentence.template].append(allowed.key(table)[letter])
    usual = {name: 2 * sum(those) >= len(those) for name, those in truths.items()}
    ways = {
        "all": lambda table: dict.fromkeys(table.sentences, True),
        "none": lambda table: dict.fromkeys(table.sentences, False),
        "by template": lambda table: {at: usual[one.template] for at, one in table.by_letter().items()},
    }
    for name, way in ways.items():
        points = [held(allowed.key(table), way(table)) / 8 for table in TABLES]
        assert sum(points) / len(points) <= 0.33, name


def held(key: dict, said: dict) -> int:
    right = sum(said[letter] == truth for letter, truth in key.items())
    return max(0, right - (8 - right))


def test_the_same_in_a_bundle(tmp_path):
    """Copied side by side, with nothing but the standard library: the same table."""
    for name in ("draws", "studies", "sentences", "tables"):
        shutil.copy(Path(tables.__file__).with_name(f"{name}.py"), tmp_path)
    ask = "import tables; t = tables.table('2026', '03', 'Ada'); print(ascii((t.text(), t.sentences)))"
    run = subprocess.run([sys.executable, "-S", "-c", ask], cwd=tmp_path, capture_output=True, text=True, check=True)
    table = tables.table("2026", "03", " ada")
    assert run.stdout.strip() == ascii((table.text(), table.sentences))


def test_says_that_it_is_made_up_and_is_the_students_own():
    texts = {table.text() for table in ALL["01"]}
    assert len(texts) == len(STUDENTS)
    assert all("Made-up numbers, drawn for you" in text for text in texts)
    assert tables.table("2026", "unheard of", "Ada").rows  # a notebook without a theme of its own
