"""Tables of made-up numbers: what they allow, that no answer hangs on rounding, that no rule of thumb wins."""

import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.homework import allowed, tables
from helpers.homework.sentences import BANK, Sentence
from helpers.homework.studies import THEMES, Row, Study

STUDENTS = [f"st{number}" for number in range(200)]
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
    (STUDY, "overlap", {"x": ICL, "y": SHUFFLED}, False),  # they overlap, and are paired
    (STUDY, "overlap", {"x": FT, "y": ICL}, True),
    (STUDY, "apart", {"x": SHUFFLED, "y": ZERO}, False),
    (STUDY, "apart", {"x": FT, "y": ZERO}, True),
    (STUDY, "less", {"x": FT, "y": ICL, "m": 4.5}, True),
    (STUDY, "less", {"x": FT, "y": ICL, "m": 2.5}, False),
    (STUDY, "no_more", {"x": ICL, "y": FT, "m": 3.0}, True),
    (STUDY, "no_more", {"x": ICL, "y": FT, "m": 1.0}, False),
    (STUDY, "at_least", {"x": ICL, "y": ZERO, "m": 4.0}, True),
    (STUDY, "at_least", {"x": ICL, "y": ZERO, "m": 7.0}, False),
    (STUDY, "needs", {"idea": ICL, "control": SHUFFLED, "essence": "right labels"}, True),
    (MEANT_WELL, "needs", {"idea": ICL, "control": SHUFFLED, "essence": "right labels"}, False),
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
ALWAYS = {"spread": False, "because": False, "equal": False, "only_one": False, "again": True, "outside": True}


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
        points = [held(allowed.key(table), way(table)) / 4 for table in TABLES]
        assert sum(points) / len(points) <= 0.25, name


def held(key: dict, said: dict) -> int:
    right = sum(said[letter] == truth for letter, truth in key.items())
    return max(0, right - (8 - right)) // 2


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
