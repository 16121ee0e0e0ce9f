"""What holds a submission back: as root, as an ordinary user, and where the system allows no namespaces at all."""

import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from submissions import notebook

from helpers.check import run
from helpers.homework import marks, sandbox, wire
from helpers.support import ROOT, CourseError

Q = torch.arange(6, dtype=torch.float64).reshape(3, 2)
PLAIN = [
    None,
    True,
    7,
    -0.5,
    "text",
    (Q, [1, {"a": Q.T, "b": (np.float64(3), np.ones(2, np.int64))}]),
    torch.tensor(1.0),
    torch.zeros(0, 3, dtype=torch.bfloat16),
    float("inf"),
]


@pytest.mark.parametrize("value", PLAIN, ids=str)
def test_plain_values_arrive_as_they_were(value):
    one, other = socket.socketpair()
    with one, other:
        wire.send(one, value)
        assert run.same(wire.receive(other), run.plain(value))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "object"),
        (run.Unknown("generator"), "generator"),
        (1 << 70, "very large int"),
        (torch.ones(1, dtype=torch.complex64), "tensor of torch.complex64"),
        (np.array(["a"]), "numpy array of <U1"),
        ([0] * 5000, "collection of very many values"),
        (torch.zeros(5_000_000), "tensor of torch.float32"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_other_values_arrive_as_their_kind(value, kind):
    assert wire.unpack(*wire.pack(value), run.Unknown) == run.Unknown(kind)


EMPTY = wire.pack(None)[1]
ODD = [
    b"",
    b"{",
    b"[" * 100_000,
    b'{"tensor": "0"}',
    b'{"array": []}',
    b'{"dict": 3}',
    b'{"a": 1, "b": 2}',
    b"9" * 5000,
]
ODD += [b"[" + b"1," * 3000 + b"1]", b'{"run": "me"}', b"\xff", b"[" * 20 + b"]" * 20]


@pytest.mark.parametrize("text", ODD, ids=lambda text: str(text[:20]))
def test_whatever_else_arrives_is_garbled(text):
    with pytest.raises(wire.Garbled):
        wire.unpack(text, EMPTY)


def test_what_is_too_large_is_not_read_and_what_never_comes_is_not_waited_for():
    one, other = socket.socketpair()
    with one, other:
        with pytest.raises(TimeoutError):
            wire.receive(other, 0.05)
        one.sendall(struct.pack(">QQ", 1 << 60, 0))
        with pytest.raises(wire.Garbled):
            wire.receive(other, 1.0)
        one.close()
        with pytest.raises(EOFError):
            wire.receive(other, 1.0)


CELLS = [
    "import torch\nanswer = {'A': True, 'B': None, 3: (1, 2.5)}",
    "def double(x):\n    print('here')\n    return 2 * x",
    "def stub(x):\n    raise NotImplementedError",
    "def crashes(x):\n    return x / undefined",
    "def changes(x):\n    x += 1\n    return x",
]


def test_a_submission_answers_calls_and_reads():
    with sandbox.Submission(CELLS) as submission:
        call = submission.call("double", (Q,))
        assert torch.equal(call.value, 2 * Q)
        assert (call.printed, call.made, call.operations) == ("here\n", 6, 1)
        assert submission.read("answer") == {"A": True, "B": None, "3": (1, 2.5)}
        assert submission.read("double") == run.Unknown("function")
        with pytest.raises(NotImplementedError):
            submission.call("stub", (Q,))
        with pytest.raises(sandbox.Crashed, match="return x / undefined"):
            submission.call("crashes", (Q,))
        with pytest.raises(run.Fault, match="in place"):
            submission.call("changes", (Q,))
        with pytest.raises(run.Fault, match="can't be called as the exercise asks"):
            submission.call("double", (Q, Q))
        with pytest.raises(LookupError):
            submission.read("nothing")


def test_a_submission_that_ends_its_process_again_and_again_is_given_up():
    with sandbox.Submission(["import os\ndef ends():\n    os._exit(0)", "x = 1"]) as submission:
        said = []
        for _ in range(sandbox.DEATHS + 2):
            with pytest.raises(run.Fault) as fault:
                submission.call("ends", ())
            said.append(str(fault.value))
    assert said[0] == sandbox.ENDED
    assert said[-1] == sandbox.TOO_OFTEN


def test_a_warm_interpreter_that_was_ended_is_started_again():
    sandbox.started()[0].close()
    sandbox._interpreter(os.getpid()).process.kill()
    with sandbox.Submission(CELLS) as submission:
        assert submission.read("answer")["A"] is True


def test_an_interpreter_that_does_not_start_is_no_students_fault(monkeypatch):
    monkeypatch.setattr(sandbox, "HERE", Path("/nowhere"))
    sandbox._interpreter(os.getpid()).close()
    sandbox._interpreter.cache_clear()
    with pytest.raises(CourseError, match="No process for submissions") as caught, sandbox.Submission([]) as submission:
        submission.read("x")
    assert len(str(caught.value).splitlines()) == 2
    sandbox._interpreter.cache_clear()


def test_on_windows_nothing_is_graded(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(CourseError, match="Windows") as caught:
        sandbox.isolation()
    assert len(str(caught.value).splitlines()) == 2


GRADE = """
import json, os, sys, time
from pathlib import Path
import psutil
from submissions import KEY, STUDENT, assignment, functions
from helpers.homework import marks, sandbox
names = "linear_attention", "softmax_attention"
found = [marks.of(Path(file), STUDENT, assignment("01", *functions(*names)), KEY) for file in sys.argv[1:]]
told, marks = sandbox.isolation(), [one.to_json() for one in found]
own = os.environ["TMPDIR"] + "/homework-"  # on the command line of the warm interpreter and all that it has started
def left():
    return sum(own in " ".join(other.info["cmdline"] or ()) for other in psutil.process_iter(["cmdline"])) - 1
until = time.monotonic() + 10  # whoever watched over a submission ends by itself, a moment after all that it watched
while left() and time.monotonic() < until:
    time.sleep(0.1)
print(json.dumps({"isolation": told, "marks": marks, "left": left()}))
"""
RIGHT = "import torch\ndef linear_attention(q, k, v):\n    return (q @ k.T).tril() @ v"
BEHIND = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
    os._exit(0)
"""
HANDED_IN = {  # nothing that could hurt the machine where little is stopped
    "right": [RIGHT],
    "ends Python": ["import os\nos._exit(0)", RIGHT, "def softmax_attention(q, k, v):\n    os._exit(0)"],
    "too much memory": [RIGHT, "x = torch.zeros(10 << 30, dtype=torch.uint8)"],
    "many processes": ["import os, time\nfor _ in range(50):\n    os.fork() or time.sleep(60)", RIGHT],
    "leaves a process behind": [BEHIND, RIGHT],
    "wrong": ["def linear_attention(q, k, v):\n    return q @ k.T @ v"],
}


def graded_by(*before, tmp_path):
    """What is told of the isolation, and the marks of all of them, given by a process that `before` starts."""
    files = [str(notebook(tmp_path / f"{name}.ipynb", code)) for name, code in HANDED_IN.items()]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "homework")])
    env = os.environ | {"PYTHONPATH": paths, "COURSE_HOMEWORK": str(tmp_path / "course"), "TMPDIR": str(tmp_path)}
    command = [*before, sys.executable, "-c", GRADE, *files]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["left"] == 0
    return found["isolation"], [marks.Marks.from_json(text) for text in found["marks"]]


LOCKED = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all --inh-caps=-all -- "$@"'
ORDINARY = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
NOTHING_ALLOWED = ("unshare", "--user", "--map-root-user", "sh", "-c", LOCKED, "sh")
ALL = "A submission has no network, sees no other process, and no file but Python's own."
NONE = "Not stopped here, but by a container around the grader: a submission's use of network, processes, files."


def test_marks_are_the_same_however_much_the_system_can_stop(tmp_path):
    if shutil.which("unshare") is None or sandbox.isolation() != ALL:
        pytest.skip(sandbox.isolation())
    told, here = graded_by(tmp_path=tmp_path)
    assert [mark.points for one in here for mark in one.marks] == [10, 0] * 5 + [3.33, 0]
    assert told == ALL
    for before, said in ((ORDINARY, ALL), (NOTHING_ALLOWED, NONE)):
        assert graded_by(*before, tmp_path=tmp_path) == (said, here)


def children() -> set[int]:
    """Processes under this one that have not ended."""
    found = psutil.Process().children(recursive=True)
    return {child.pid for child in found if child.is_running() and child.status() != psutil.STATUS_ZOMBIE}


def test_what_a_submission_leaves_behind_ends_with_it():
    sandbox.isolation()  # the warm interpreter is there
    before = children()  # and what other tests have started
    with sandbox.Submission([BEHIND, RIGHT]) as submission:
        assert submission.read("linear_attention") == run.Unknown("function")
        assert len(children() - before) > 2
    until = time.monotonic() + 10
    while children() - before and time.monotonic() < until:
        time.sleep(0.1)
    assert children() - before == set()
