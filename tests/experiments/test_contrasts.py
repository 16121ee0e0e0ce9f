"""The statistics of the plan by hand, and its verdict on made-up rows whose answer is known."""

import json
import shutil

import numpy as np
import pytest

from helpers import controls
from helpers.experiments import study
from helpers.experiments.evidence import contrasts, core, plan, recovery, verdict
from helpers.experiments.evidence.rates import RATES
from helpers.support import ROOT, CourseError

LAYERS, QUERIES = 3, 60


# --- Statistics


def test_recovered_by_hand():
    """Three thirds of two: a difference of 1 and of 0 where both kinds are there, and a third that says nothing."""
    few, tuned = np.array([1, 0, 1, 1, 1, 0], bool), np.array([1, 0, 1, 0, 1, 1], bool)
    assert contrasts.recovered(few, tuned, np.arange(6.0)) == pytest.approx(0.5)
    assert np.isnan(contrasts.recovered(few, np.ones(6, bool), np.arange(6.0)))


def test_a_margin_alone_gives_nothing_to_recover():
    """Both are right where the margin is high: a difference over all queries, none within its thirds."""
    high = np.repeat([False, False, True], 40)
    rng = np.random.default_rng(0)
    few, tuned = (np.where(high, rng.random(120) < 0.9, rng.random(120) < 0.1) for _ in range(2))
    assert few[tuned].mean() - few[~tuned].mean() > 0.5
    assert abs(contrasts.recovered(few, tuned, np.repeat([0.0, 1.0, 2.0], 40))) < 0.2


def test_a_claim_is_given_the_highest_rung_below_which_none_is_missing():
    held = [(True, True, True), (True, False, True), (False, True, True), (True, True, False)]
    assert list(map(contrasts.reached, held)) == [3, 1, 0, 2]


def test_the_pvalue_of_one_task_is_that_of_the_shelf_and_three_tasks_say_more():
    rng = np.random.default_rng(0)
    matrices = 0.3 * np.eye(12) + 0.8 * rng.standard_normal((3, 12, 12))
    alone = [contrasts.matching_pvalue(matrix[None]) for matrix in matrices]
    assert alone == pytest.approx([controls.matching_pvalue(matrix) for matrix in matrices])
    assert contrasts.matching_pvalue(matrices[[0, 0, 0]]) < alone[0]


def test_the_own_draw_minus_the_others_is_that_of_the_shelf_and_leaves_out_what_is_undefined():
    matrix = np.random.default_rng(0).standard_normal((12, 12))
    np.testing.assert_allclose(contrasts.own_minus_other(matrix), controls.own_minus_other(matrix))
    matrix[0, 1] = np.nan
    assert contrasts.own_minus_other(matrix)[0] == pytest.approx(matrix[0, 0] - matrix[0, 2:].mean())


def test_an_interval_of_equal_numbers_is_the_number():
    assert contrasts.interval(np.full(4, 0.25)) == (0.25, 0.25, 0.25)
    mean, low, high = contrasts.interval(np.array([0.0, np.nan, 1.0]))
    assert (mean, high - low) == (0.5, pytest.approx(2 * 12.706 * 0.5, rel=1e-3))  # t of one degree of freedom


def test_one_number_has_no_interval():
    mean, low, high = contrasts.interval(np.array([0.3, np.nan]))
    assert mean == 0.3
    assert np.isnan([low, high]).all()


def test_a_task_without_a_number_at_a_draw_counts_as_much_as_the_others():
    found = contrasts.over_tasks([np.array([1.0, np.nan, 1.0]), np.array([0.0, 3.0, 0.0])])
    assert found.mean() == pytest.approx((1 + 1) / 2)
    assert found[1] - found[0] == pytest.approx(2.5)  # 2 of the second task alone, against 0 and −1 averaged


def test_holm_by_hand():
    """Smallest times four, next times three and no smaller than the one before; an unmeasurable one counts as 1."""
    assert contrasts.holm([0.02, 0.01, float("nan"), 0.5]) == pytest.approx([0.06, 0.04, 1.0, 1.0])
    assert contrasts.holm([0.01, 0.004, 0.011, 0.012]) == pytest.approx([0.03, 0.016, 0.03, 0.03])


def test_margins_by_hand():
    scores = [[-1.0, -3.0], [-3.0, -1.0]]  # the mean of both labels is −2: calibrated ±1
    assert contrasts.zero_shot_margins(scores, [0, 0]) == pytest.approx([2.0, -2.0])
    assert contrasts.zero_shot_margins([[-1.5], [-0.5]], [0, 0]) == pytest.approx([-1.5, -0.5])


# --- Made-up rows


def marks(right):
    return "".join("01"[int(r)] for r in right)


def way(right):
    return {"right": marks(right), "calibrated": marks(right), "loss": 1.0}


class World:
    """Twelve draws of which each has its own gains; `own` and the controls say how much of them a way has."""

    def __init__(self, own, shuffled, mlp, gains=0.4):
        self.rng = np.random.default_rng(0)
        self.levels = {"finetuned": own, "matched": own, "shuffled": shuffled, "mlp": mlp, "random": 0.0}
        self.levels |= {"random, as long": 0.1, "not finetuned": 0.0}
        self.few = self.rng.random((12, QUERIES)) < gains

    def answers(self, draw, queries):
        """The zero-shot answer is wrong everywhere; a way shares the prompt's right answers with its probability."""
        few = np.resize(self.few[draw], queries)
        found = {"zero_shot": way(np.zeros(queries, bool)) | {"scores": self.rng.normal(size=(queries, 1)).tolist()}}
        found |= {"in_context": way(few), "in_context flipped": way(~few), "finetuned flipped": way(~few)}
        for name, level in self.levels.items():
            other = self.rng.random(queries) < few.mean()
            found[name] = way(np.where(self.rng.random(queries) < level, few, other))
        for answered in found.values():
            answered.setdefault("scores", found["zero_shot"]["scores"])
        return found

    def layers(self):
        def series(level):
            names = ("sim_aou tangential", "sim_am updates", "kendall", "kendall aligned")
            return {name: (level + 0.02 * self.rng.normal(size=LAYERS)).tolist() for name in names}

        return {name: series(level) for name, level in self.levels.items()}

    def matrix(self, what):
        noise = 0.02 * self.rng.normal(size=(12, 12, LAYERS))
        found = 0.2 + (self.levels["finetuned"] - 0.2) * np.eye(12)[..., None] + noise
        if what == "maps":
            found[..., 0] = np.eye(12)  # rounding, which P3 leaves out
        return found.tolist()


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Writes what a world would have recorded, on the real grid of the real rates."""
    shutil.copy(RATES.path, tmp_path)
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    monkeypatch.setattr(contrasts, "gold_labels", lambda task, queries: [0] * queries)

    def write(world):
        for each, result in (
            (core.CORE, lambda cell: {"ways": world.answers(cell["seed"] - 100, 100), "layers": world.layers()}),
            (recovery.RECOVERY, lambda cell: world.answers(cell["seed"] - 100, 400)),
            (
                core.MATRIX,
                lambda cell: {what: {w: world.matrix(what) for w in core.MATRICES} for what in ("outputs", "maps")},
            ),
        ):
            origin = {"model": "smollm2-135m", "plan": study.plan_hash(), "code": each.code()}
            lines = [{"cell": cell, "result": result(cell), "from": origin} for cell in each.cells()]
            each.path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    return write


@pytest.mark.parametrize(
    ("levels", "rungs"),
    [
        ((0.8, 0.2, 0.2), (True, True, True)),
        ((0.2, 0.2, 0.0), (True, False, False)),
        ((0.8, 0.2, 0.9), (True, False, True)),
        ((-0.1, 0.2, 0.2), (False, False, False)),
    ],
)
def test_the_rungs_of_a_world_with_a_known_answer(recorded, levels, rungs):
    """P1 has marks, from which nothing negative can be made: it is left to the other test."""
    recorded(World(*levels))
    found = contrasts.verdicts()
    for claim in ("P2", "P3"):
        assert found[claim].rungs() == rungs
        assert found[claim].contrast.effect()[0] == pytest.approx(levels[0] - 0.2, abs=0.02)
    assert found["P4"].rungs() == (rungs[0], rungs[1], levels[0] > 0)


def test_right_answers_that_are_shared_are_recovered(recorded):
    recorded(World(0.8, 0.1, 0.1))
    found = contrasts.verdicts()["P1"]
    assert list(found.contrast.by_task) == list(plan.PRIMARY)
    assert found.rungs() == (True, True, True)
    assert found.contrast.effect()[0] == pytest.approx(0.8, abs=0.1)
    assert found.contrast.against_smallest() == "above"
    recorded(World(0.0, 0.0, 0.0))
    found = contrasts.verdicts()["P1"]
    assert not found.rungs()[2]
    assert abs(found.contrast.effect()[0]) < 0.1


def test_too_few_events_are_not_measurable(recorded):
    recorded(World(0.8, 0.1, 0.1, gains=0.0))
    found = contrasts.verdicts()["P1"]
    assert not any(map(contrasts.measurable, plan.PRIMARY))
    assert np.isnan(found.pvalue)
    assert found.adjusted == 1
    assert not any(found.rungs())
    assert "not measurable" in verdict.verdict()
    assert "not measurable (0 events, 0 queries)" in verdict.by_task()


def test_a_draw_that_is_missing_is_said(recorded):
    recorded(World(0.8, 0.1, 0.1))
    lines = core.CORE.path.read_text().splitlines(keepends=True)
    core.CORE.path.write_text("".join(lines[:5]))
    with pytest.raises(CourseError, match="5 of 12 draws of 'antonym'"):
        contrasts.contrast("P4")
    assert verdict.by_task().splitlines()[-1].count("not measured yet") >= 5


def test_a_way_that_overflowed_in_a_draw_is_left_out_and_said(recorded):
    recorded(World(0.8, 0.1, 0.1))
    [first, *rest] = core.MATRIX.path.read_text().splitlines()
    line = json.loads(first)
    del line["result"]["outputs"]["matched"]
    core.MATRIX.path.write_text("\n".join([json.dumps(line), *rest]) + "\n")
    assert list(contrasts.contrast("P2", "matched").by_task) == list(plan.PRIMARY[1:])
    assert "numbers overflowed" in verdict.by_task()


def test_every_table_has_a_row_for_what_is_recorded(recorded):
    recorded(World(0.8, 0.1, 0.1))
    for table in verdict.TABLES:
        shown = table().splitlines()
        assert len(shown) > 2 or shown == [verdict.NOTHING]
        assert "nan" not in " ".join(shown), table.__name__


def test_the_pages_show_the_verdict_of_the_recorded_rows():
    """The table of data/results/README.md, and the two figures that README.md takes from it."""
    shown = verdict.verdict()
    assert shown in (study.FOLDER / "README.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    header, *rows = ([cell.strip() for cell in line.split("|")] for line in shown.splitlines() if "|---" not in line)
    found = dict(zip(header, next(row for row in rows if row[1] == "P2 SimAOU"), strict=True))
    assert found["above random"] in readme
    assert found["contrast"] in readme
