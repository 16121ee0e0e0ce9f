"""The runner of recorded studies: nothing is lost, nothing is recorded twice, and what is broken is named."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import squares
import torch
from distributed import Client, LocalCluster
from tiny import tiny

from helpers import DEFAULT_MODEL
from helpers.course import recorded
from helpers.experiments import catalogue, cluster, forecast, lines, study
from helpers.support import ROOT, CourseError

HERE = Path(__file__).parent


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The small studies are known by name, and recorded in a folder of their own."""
    for name in ("FOLDER", "ROOT"):
        monkeypatch.setattr(study, name, tmp_path)
    monkeypatch.setattr(study, "OLDER", tmp_path / "older.json")
    monkeypatch.setenv("SQUARES", str(tmp_path))
    for name, found in squares.STUDIES.items():
        monkeypatch.setitem(catalogue.STUDIES, name, found)
    return tmp_path


def python(*arguments, **options):
    """Another process that finds the course and the small studies."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(HERE)])}
    return subprocess.Popen([sys.executable, *map(str, arguments)], env=env, text=True, **options)


def made(cell, **origin):
    return {
        "cell": cell,
        "result": {"value": 0},
        "from": {"code": "0" * 12, "model": "m", "date": "2026-01-01"} | origin,
    }


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def numbers(found):
    return [row["cell"]["number"] for row in found.everything()]


# --- Lines


def test_a_line_cut_anywhere_is_dropped_and_nothing_is_glued_to_it(tmp_path):
    """SIGKILL at any byte: the whole lines stay, half of one goes, the next one has a line of its own."""
    path, first, last = tmp_path / "x.jsonl", made({"seed": "é\u2028"}), made({"seed": 1})
    lines.append(path, first)
    before = path.read_bytes()
    lines.append(path, last)
    whole = path.read_bytes()
    for cut in range(len(before), len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = [first, last] if cut >= len(whole) - 1 else [first]  # all but its newline is whole
        assert lines.read(path) == kept
        lines.append(path, last)
        assert lines.read(path) == [*kept, last]
        assert path.read_bytes().endswith(b"}\n")


def test_broken_lines_are_named_once_and_the_others_are_used(tmp_path):
    path, row = tmp_path / "x.jsonl", json.dumps(made({"seed": 0})).encode()
    bad = [b"<<<<<<< HEAD", b'{"cell": {}, "result": {}}', b'{"cell": 1, "from": {}}', b"[]", b"\xff\xfe"]
    path.write_bytes(b"\n".join([row, *bad, b"", row, b""]))
    with pytest.warns(UserWarning, match="not JSON") as told:
        assert len(lines.read(path)) == 2
    (message,) = [str(warning.message) for warning in told]
    assert message.startswith(f"{path}: line 2 is not JSON, line 3 has no 'from', line 4 has no 'cell' and no 'result'")
    assert "line 5 has no 'cell' and no 'result' and no 'from', line 6 is not JSON; the other" in message


ENDLESS = """
import itertools, sys
from pathlib import Path
from helpers.experiments import lines
for seed in itertools.count():
    lines.append(Path(sys.argv[1]), {"cell": {"seed": seed}, "result": {"x": "x" * 300_000}, "from": {}})
    print(seed, flush=True)
"""


@pytest.mark.parametrize("whole", [1, 4, 9])
def test_a_killed_run_loses_no_line_that_it_had_ended(tmp_path, whole):
    path = tmp_path / "x.jsonl"
    with python("-c", ENDLESS, path, stdout=subprocess.PIPE) as child:
        told = [int(child.stdout.readline()) for _ in range(whole)]
        child.kill()
    found = [row["cell"]["seed"] for row in lines.read(path)]
    assert found == list(range(len(found)))
    assert len(found) >= len(told)
    lines.append(path, made({"seed": -1}))
    assert [row["cell"]["seed"] for row in lines.read(path)] == [*found, -1]


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"


def test_a_full_disk_leaves_whole_lines_and_says_so(tmp_path):
    """A file system of one megabyte where this user may mount one, else a largest size of a file."""
    small, path = tmp_path / "small", tmp_path / "small" / "x.jsonl"
    small.mkdir()
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    script = f'mount -t tmpfs -o size=1000k tmpfs "{small}" && "$@"; code=$?; cp "{path}" "{tmp_path}"; exit $code'
    may = subprocess.run([*mount, f"mount -t tmpfs tmpfs {small}"], capture_output=True).returncode == 0
    before = [*mount, script, "sh"] if may else []
    command = [*before, sys.executable, "-c", ("" if may else LIMITED) + ENDLESS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert "No space left on device" in done.stderr if may else "File too large" in done.stderr
    assert "it ends with its last whole line.\nMake room" in done.stderr
    copied = tmp_path / "x.jsonl" if may else path
    assert copied.read_bytes().endswith(b"}\n")
    assert [row["cell"]["seed"] for row in lines.read(copied)] == [0, 1, 2] == [int(n) for n in done.stdout.split()]


def test_what_can_not_be_written_or_locked_is_said(tmp_path):
    (tmp_path / "x.jsonl").mkdir()
    with pytest.raises(CourseError, match="no line could be added"):
        lines.append(tmp_path / "x.jsonl", made({}))
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="could not be locked"), lines.held(tmp_path / "file" / "x.jsonl"):
        pass


# --- Another plan, model or code


def test_planned_lines_of_another_plan_or_code_are_refused_with_the_reason(elsewhere):
    found, code, plan = squares.PLANNED, squares.PLANNED.code(), study.plan_hash()
    good, old, strange = made({"number": 0}, code=code, plan=plan), {"code": code, "plan": "old"}, {"plan": plan}
    write(found.path, made({"number": 1}, **old), made({"number": 0}, **old), made({"number": 0}, **strange))
    with (
        pytest.warns(UserWarning, match="planned.jsonl: lines that do not count: 2 of another plan, 1 of another code"),
        pytest.raises(CourseError, match="yet; lines that do not count: 2 of another plan, 1 of another code"),
    ):
        found.rows()
    lines.append(found.path, good)
    with pytest.warns(UserWarning, match="2 of another plan"):
        assert [*found.rows(), *found.lines(), *found.missing()] == [good, good, *squares.five()[1:]]
    assert len(found.everything()) == 4


def test_code_that_was_compared_counts_in_a_planned_study(elsewhere):
    row = made({"number": 0}, plan=study.plan_hash())
    write(squares.PLANNED.path, row)
    listed = {"planned": {"0" * 12: {"agrees with": squares.PLANNED.code(), "why": "moved"}}}
    study.OLDER.write_text(json.dumps(listed))
    with warnings.catch_warnings(action="error"):
        assert squares.PLANNED.rows() == [row]


def test_a_study_without_a_plan_takes_older_code_where_there_is_no_other(elsewhere):
    write(squares.FAILING.path, made({"number": 0}), made({"number": 1}))
    with warnings.catch_warnings(action="error"):
        assert len(squares.FAILING.rows()) == 2


def test_keep_counts_what_is_apart_and_says_what_becomes_of_it(elsewhere, capsys):
    write(squares.PLANNED.path, *(made({"number": n}, plan="other") for n in range(3)))
    write(squares.FAILING.path, made({"number": 0}))
    recorded.main(["--keep", "planned", "failing", "squares"])
    body = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(body) == 2
    assert ["planned", "3", "plan", "other", study.plan_hash(), "not", "used"] in body
    assert [
        "failing",
        "1",
        "code",
        "0" * 12,
        squares.FAILING.code(),
        *["used", "where", "today's", "code", "has", "no", "line"],
    ] in body


def test_a_line_of_a_worker_with_other_code_is_not_recorded(elsewhere):
    def measure(cells):
        return [made(cell) for cell in cells]

    with pytest.raises(CourseError, match=r"measured with code 000000000000, not .*\nBring all machines"):
        squares.FAILING.record(measure=measure)
    assert not squares.FAILING.everything()


@pytest.fixture
def folder_of_a_model(tmp_path):
    model = tiny("llama", torch.float32)
    for part in (model.network, model.tokenizer):
        part.save_pretrained(tmp_path / "tiny")
    return str(tmp_path / "tiny")


def test_rows_of_two_models_live_in_one_file_and_are_never_mixed(elsewhere, folder_of_a_model, monkeypatch):
    found, other = squares.SIZES, folder_of_a_model
    default = [made({"layer": layer}, model=DEFAULT_MODEL, code=found.code()) for layer in range(2)]
    write(found.path, *default)
    recorded.main(["--model", other, "sizes"])
    assert len(found.everything()) == 4
    assert found.rows() == default
    rows = found.rows(model=other)
    assert [row["from"]["model"] for row in rows] == [other, other]
    assert {row["from"]["command"] for row in rows} == {f"python -m helpers results sizes --model {other}"}
    recorded.main(["--again", "--model", other, "sizes"])
    assert found.rows() == default
    assert len(found.everything()) == 4
    assert not found.path.with_suffix(".before").exists()


def test_a_stopped_again_of_another_model_is_ended_first(elsewhere, folder_of_a_model):
    found = squares.SIZES
    write(found.path, made({"layer": 0}, model=DEFAULT_MODEL, code=found.code()))
    stopped = found.path.with_suffix(".00000000.before")
    write(stopped, made({"layer": 1}, model="another"))
    with pytest.raises(CourseError, match=r"former lines lie in sizes\.00000000\.before"):
        recorded.main(["--again", "--model", folder_of_a_model, "sizes"])
    assert len(stopped.read_text().splitlines()) == 1
    assert len(found.everything()) == 1


def test_what_a_grid_rests_on_is_read_of_the_same_model(elsewhere):
    write(squares.SIZES.path, made({"layer": 0}, model=DEFAULT_MODEL), made({"layer": 1}, model="other"))
    resting = study.Study("resting", lambda: [row["cell"] for row in squares.SIZES.rows()], squares.fail, (), real=True)
    assert resting.missing() == [{"layer": 0}]
    assert resting.missing("other") == [{"layer": 1}]


def test_a_model_that_is_not_there_is_two_lines(elsewhere):
    with pytest.raises(CourseError, match=r"There is no model called 'gpt22'\.\nNearest: gpt2"):
        recorded.main(["--model", "gpt22", "sizes"])
    with pytest.raises(CourseError, match="failing: not about a GPT"):
        recorded.main(["--model", "gpt2", "failing"])


# --- A dry run


def test_hours_are_those_of_like_cells(elsewhere):
    seconds, found = {("a", 0): 10, ("a", 1): 20, ("a", 2): 90, ("b", 0): 3600}, squares.FAILING
    write(found.path, *(made({"task": task, "seed": seed}, seconds=time) for (task, seed), time in seconds.items()))
    assert forecast.hours(found, []) == "0"
    assert forecast.hours(found, [{"task": "a", "seed": 9}] * 180) == "1"  # the median, 20 s each
    assert forecast.hours(found, [{"task": "b", "seed": 9, "lr": 1}] * 2) == "2"
    assert forecast.hours(found, [{"task": "c", "seed": 9}]) == "not known yet"
    assert forecast.hours(found, [{"task": task, "seed": 9} for task in "bc"]) == "1, and 1 cells not known yet"


def test_a_dry_run_says_what_there_is_to_do_and_does_nothing(elsewhere, capsys, monkeypatch, folder_of_a_model):
    resting = study.Study("resting", squares.PLANNED.rows, squares.fail, ())
    monkeypatch.setitem(catalogue.STUDIES, "resting", resting)
    write(squares.FAILING.path, *(made({"number": n}, seconds=900) for n in range(3)))
    before = {path: path.read_bytes() for path in elsewhere.glob("*.jsonl")}
    recorded.main(["--dry-run", "failing", "squares", "resting"])
    told = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["failing", "5", "3", "2", "0.5", "no", "GPT"] in told
    assert ["squares", "12", "0", "12", *["not", "known", "yet", "no", "GPT"]] in told
    assert any(line[0] == "resting" and "'planned'" in line for line in told)
    recorded.main(["--dry-run", "sizes", "--model", folder_of_a_model])
    expected = tiny("llama", torch.float32).network.num_parameters() * 4e-9
    assert f"GB, {expected:.2g} of it weights" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in elsewhere.glob("*.jsonl")} == before


# --- Two runs at once

RECORD = """
import sys
from pathlib import Path
import squares
from helpers.experiments import study
study.FOLDER = Path(sys.argv[1])
squares.WAITING.record()
"""


@pytest.mark.timeout(120)  # without a lock both would wait for ever
def test_two_runs_of_a_study_record_each_cell_once(elsewhere, monkeypatch, capsys):
    """This run begins while the other is in its first cell, waits for it, and finds nothing to do."""
    notes, leave = [], elsewhere / "leave"
    os.mkfifo(leave)

    def go_on(note, **_):  # what is said before waiting lets the other run go on
        notes.append(note)
        leave.write_text("go")

    monkeypatch.setattr(lines, "print", go_on, raising=False)
    with python("-c", RECORD, elsewhere, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as other:
        assert other.stdout.readline() == "begun\n"
        squares.WAITING.record()
        assert "all 5 cells" in other.communicate()[0]
    assert [note.partition(".jsonl")[0] for note in notes] == ["Another run records waiting"]
    assert "all 5 cells" in capsys.readouterr().out
    assert numbers(squares.WAITING) == [0, 1, 2, 3, 4]


# --- A cluster


def test_a_worker_is_killed_and_nothing_is_lost_or_recorded_twice(elsewhere, tmp_path):
    """Two workers, one killed at 7; a grid that gets new cells after its first round."""
    file, local = tmp_path / "scheduler.json", ["--scheduler-file", tmp_path / "scheduler.json", "--no-dashboard"]
    worker = ["worker", "--nthreads", "1", "--no-nanny", "--preload", HERE / "squares.py"]
    quiet = {"stderr": subprocess.DEVNULL, "cwd": tmp_path}
    started = [python("-m", "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", *local, **quiet)]
    started += [python("-m", "dask", *worker, *local, **quiet) for _ in range(2)]
    try:
        with Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(2, timeout=120)
            address = client.scheduler.address
        recorded.main(["--scheduler", address, "squares"])
        victim, pids = int((tmp_path / "victim").read_text()), {each.pid for each in started[1:]}
        (killed,) = [each for each in started if each.pid == victim]
        assert killed.wait(timeout=60) == -signal.SIGKILL
    finally:
        for each in started:
            each.kill()
            each.wait()
    assert sorted(numbers(squares.SQUARES)) == list(range(16))
    rows = squares.SQUARES.rows()
    assert [row["result"]["value"] for row in rows] == [n**2 for n in range(16)]
    assert {row["from"]["process"] for row in rows} <= pids
    assert rows[7]["from"]["process"] in pids - {victim}
    assert all({"machine", "device", "seconds"} <= row["from"].keys() for row in rows)


@pytest.fixture
def workers():
    """A scheduler and a worker in this process."""
    with LocalCluster(n_workers=1, threads_per_worker=4, processes=False, dashboard_address=None) as local:
        yield local


def test_a_cell_that_fails_stops_no_other_and_is_named(elsewhere, workers):
    with pytest.raises(CourseError, match=r"1 of 5 cells .* \{'number': 2\}: ZeroDivisionError: as asked\n"):
        recorded.main(["--scheduler", workers.scheduler_address, "failing"])
    assert sorted(numbers(squares.FAILING)) == [0, 1, 3, 4]


def test_a_scheduler_that_goes_away_is_said(elsewhere, workers):
    with cluster.connected(workers.scheduler_address) as client:
        rows = cluster.measured(client, squares.WAITING, DEFAULT_MODEL, squares.five()[1:])
        assert next(rows)["result"]["value"] in range(1, 5)
        workers.close()
        with pytest.raises(CourseError, match="the scheduler was lost"):
            list(rows)


def test_a_scheduler_that_is_not_there_is_two_lines_within_seconds(elsewhere):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        address, start = f"tcp://127.0.0.1:{taken.getsockname()[1]}", time.monotonic()
        with pytest.raises(CourseError, match=f"No Dask scheduler answers at {address}") as told:
            recorded.main(["--scheduler", address, "failing"])
    assert time.monotonic() - start < 15
    assert len(str(told.value).splitlines()) == 2
    with pytest.raises(CourseError, match="missing port number"):
        recorded.main(["--scheduler", "nowhere", "failing"])
