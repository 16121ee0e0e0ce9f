"""The plan's blocks from end to end: a small grid of all of them with a tiny model, and what the real rows say."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny import family

from helpers import icl
from helpers.experiments import agreement, study
from helpers.experiments.accuracy import FREE, marks_and_loss
from helpers.experiments.evidence import contrasts, core, others, plan, rates, recovery, vectors, verdict
from helpers.support import ROOT


def course(*arguments, small):
    """A command of the course, small, in a process of its own."""
    command = [sys.executable, "-m", *map(str, arguments)]
    env = os.environ | {"COURSE_SMALL": str(small), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tiny model in a folder, and every block of the plan measured with it, small, by the command of the README."""
    home, folder = (tmp_path_factory.mktemp(name) for name in ("small", "tiny"))
    model = family("llama", max_position_embeddings=8192)
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)

    def run(*arguments, of=("--model", folder)):
        done = course(*arguments, *of, small=home)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    run("helpers", "results", "evidence")
    run("helpers", "results", "evidence_known", of=())
    return home, run, folder


def test_a_small_grid_of_everything_is_measured_by_one_command(small):
    home, run, _ = small
    table = run("helpers", "results", "evidence", "--dry-run").splitlines()
    rows = [line.split() for line in table if line.strip().startswith("evidence_")]
    assert {row[3] for row in rows} == {"0"}, table  # nothing is missing
    assert sum(int(row[1]) for row in rows if row[0] != "evidence_paper") > 200
    written = {path.stem: path.read_text().splitlines() for path in home.glob("*.jsonl")}
    assert {name: len(lines) for name, lines in written.items() if name != "evidence_known"} == {
        row[0]: int(row[1]) for row in rows if row[0] != "evidence_paper"
    }
    before = {path: path.stat().st_mtime_ns for path in home.glob("*.jsonl")}
    run("helpers", "results", "evidence")
    assert before == {path: path.stat().st_mtime_ns for path in home.glob("*.jsonl")}


def test_every_control_of_the_core_gave_numbers(small):
    home, _, _ = small
    for line in map(json.loads, (home / "evidence_core.jsonl").read_text().splitlines()):
        layers, ways = line["result"]["layers"], line["result"]["ways"]
        assert {*verdict.WAYS, "random", "random, as long"} <= ways.keys()
        for way in ("finetuned", "matched", "mlp", "random", "random, as long"):
            for name in ("rho", "sim_aou", "sim_aou tangential", "sim_am updates", "kendall"):
                later = np.array(layers[way][name], float)[1:]  # no MLP stands before the first layer's attention
                assert np.isfinite(later).all(), (line["cell"], way, name)
        others = line["result"]["others"]
        assert set(others) == (set() if line["cell"]["task"] in FREE else {"bias only", "bag of words"})


def test_the_verdict_is_given_from_the_small_rows(small):
    _, run, _ = small
    shown = run("helpers.experiments.evidence.verdict", "verdict", "by_task")
    for claim, name in contrasts.CLAIMS.items():
        assert shown.count(f"| {claim} {name} |") == 3
    assert verdict.NOTHING not in shown
    assert "not planned" in shown


def test_what_is_small_never_counts_as_full(small, monkeypatch):
    home, _, folder = small
    monkeypatch.setattr(study, "FOLDER", home)
    with study.of_model(str(folder)):
        assert vectors.VECTORS.everything()
        with pytest.warns(UserWarning, match="12 of another size"):
            counting = vectors.VECTORS.counting()
    assert not counting


def test_a_line_that_names_its_cell_otherwise_is_not_used(small, tmp_path, monkeypatch):
    home, _, folder = small
    first, second, *_ = map(json.loads, (home / "evidence_rates.jsonl").read_text().splitlines())
    del first["cell"]["lr"]
    (tmp_path / "evidence_rates.jsonl").write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n")
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    monkeypatch.setattr(study.small, "SIZE", "small")
    with study.of_model(str(folder)):
        assert [line["cell"] for line in rates.RATES.counting()] == [second["cell"]]
        assert rates.RATES.missing()


@pytest.mark.parametrize(
    ("place", "arguments", "told"),
    [
        ("file", (), "where nothing can be written.\nName another folder."),
        (ROOT / "data" / "results", (), "where the course's own files lie.\nName a folder elsewhere."),
        ("folder", ("rates",), "With COURSE_SMALL there is no rates.\nUnset it, or name `evidence`."),
        ("folder", ("evidenc",), "Nearest: evidence"),
        ("folder", ("--agree",), "Unset it for --agree."),
    ],
)
def test_what_small_can_not_do_is_two_lines(tmp_path, place, arguments, told):
    (tmp_path / "file").touch()
    done = course("helpers", "results", *arguments, small=tmp_path / place)
    assert done.returncode
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2


def test_a_table_or_model_that_is_not_there_is_said(small):
    home, _, folder = small
    for arguments, told in ((("nonsense",), "there is no table 'nonsense'"), ((), f"of: {folder}")):
        done = course("helpers.experiments.evidence.verdict", *arguments, small=home)
        assert done.returncode
        assert told in done.stderr


def test_other_weights_under_the_same_name_are_refused(small):
    home, _, folder = small
    model = family("llama", max_position_embeddings=8192)
    next(model.network.parameters()).mul_(2)
    model.network.save_pretrained(folder)
    done = course("helpers", "results", "evidence_vectors", "--model", folder, small=home)
    assert done.returncode
    assert "were measured with other weights than it has now" in done.stderr


# --- What is recorded of the real model


@pytest.mark.parametrize("task", [task for task in plan.TASKS if task not in FREE])
def test_the_labels_that_the_margins_rest_on_are_those_that_were_marked(task):
    """Scores of every label and marks stand in a row: the best label is the right one exactly where it says so."""
    rows = core.CORE.counting()
    drawn = [(row["result"]["ways"]["zero_shot"], 100) for row in rows if row["cell"]["task"] == task][:2]
    rows = [row for row in recovery.RECOVERY.counting() if row["cell"]["task"] == task]
    drawn += [(row["result"]["zero_shot"], recovery.QUERIES.get(task, 400)) for row in rows[:2]]
    if not drawn:
        pytest.skip("no row of this task yet")
    for found, queries in drawn:
        gold, scores = np.array(contrasts.gold_labels(task, queries)), np.array(found["scores"])
        assert len(scores) == len(gold) == len(found["right"])
        for marks, table in ((found["right"], scores), (found["calibrated"], contrasts.calibrated(found["scores"]))):
            near = np.sort(table, 1)[:, -1] - np.sort(table, 1)[:, -2] < 1e-3  # written with few digits
            assert (((table.argmax(1) == gold) == (np.array(list(marks)) == "1")) | near).all()
            assert near.mean() < 0.1


def test_blocks_that_read_the_same_prompt_agree():
    """Zero-shot and in context, right or wrong and loss, were measured anew in every block, on several machines."""
    found = {}
    for each in (core.CORE, others.DOSE, others.JITTER, others.CAUSAL, others.COMPETENT):
        for row in each.counting():
            for way in ("zero_shot", "in_context"):
                found.setdefault((row["cell"]["task"], row["cell"]["seed"], way), []).append(row["result"]["ways"][way])
    repeated = {key: rows for key, rows in found.items() if len(rows) > 1}
    assert repeated
    for key, (first, *rest) in repeated.items():
        kept = {name: first[name] for name in ("right", "loss")}
        for other in rest:
            assert not agreement.differs(kept, other, core.CORE), key


@pytest.mark.real
@pytest.mark.parametrize("task", ["antonym", "source-letters"])
def test_a_recorded_prompt_read_again_gives_what_was_recorded(real, task):
    [row] = [row for row in core.CORE.counting() if row["cell"]["task"] == task and row["cell"]["seed"] == 111]
    drawn = plan.draw(task, 111)
    for way, predict in (("zero_shot", icl.zero_shot), ("in_context", icl.in_context)):
        recorded = {name: row["result"]["ways"][way][name] for name in ("right", "calibrated", "loss")}
        assert not agreement.differs(recorded, marks_and_loss(predict(real, drawn)), core.CORE), way
