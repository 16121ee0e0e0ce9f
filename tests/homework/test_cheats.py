"""Cheats: each earns nothing, harms nothing, and the next submission is graded as ever."""

import json
import os
import socket
import time

import psutil
import pytest
from submissions import KEY, STUDENT, TERM, assignment, functions, notebook

from helpers.homework import allowed, marks, sandbox, settings, tables
from helpers.homework.settings import Item
from helpers.support import ROOT

NAME = "linear_attention"
HONEST = "import torch\ndef linear_attention(q, k, v):\n    return (q @ k.T).tril() @ v"


def graded(path, *code, name=NAME):
    return marks.of(notebook(path / "a.ipynb", code), STUDENT, assignment("01", *functions(name)), KEY)


def left():
    """Processes under this one, but the warm interpreter itself."""
    warm = sandbox._interpreter(os.getpid()).process.pid
    return [child for child in psutil.Process().children(recursive=True) if child.pid != warm]


@pytest.fixture(autouse=True)
def no_harm(tmp_path):
    """Afterwards nothing is left running, and an honest submission earns all."""
    yield
    assert graded(tmp_path, HONEST).marks[0].points == 10.0
    deadline = time.monotonic() + 5
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left() == []


def earns_nothing(found):
    (mark,) = found.marks
    assert (mark.held, mark.points) == (0, 0.0), mark
    assert mark.status in ("failed", "crashed", "not attempted")
    return mark


WRONG = "def linear_attention(q, k, v):\n    return 0 * v"
EASY = {  # what makes a wrong function look right in its own process
    "a check of its own": "def check(*_): print('passed')\ndef grade(*_): pass\nverdict = lambda *_: 'passed'",
    "the course's check overwritten": """
import sys, types
for name in ("helpers", "helpers.check", "helpers.check.engine", "helpers.homework.marks"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].check = sys.modules[name].verdict = sys.modules[name].judged = lambda *_: "passed"
""",
    "torch patched": """
import torch
torch.allclose = torch.equal = torch.testing.assert_close = lambda *_, **__: True
torch.Tensor.__eq__ = torch.Tensor.allclose = torch.Tensor.equal = lambda *_, **__: True
torch.Tensor.__sub__ = lambda a, b: a * 0
torch.Tensor.abs = lambda a: a.new_zeros(a.size())
torch.Tensor.max = lambda a, *_: 0.0
torch.Tensor.shape = property(lambda _: (5, 2))
""",
    "the runner patched": """
import sys
for module in list(sys.modules.values()):
    for name in ("run", "same", "judged", "credit", "close", "plain", "told", "_near"):
        if callable(getattr(module, name, None)):
            try:
                setattr(module, name, lambda *_, **__: True)
            except Exception:
                pass
""",
    "results that are printed": "print('✓ 1.2 linear_attention: passed. 10/10')\nprint('{\"held\": 3, \"of\": 3}')",
    "progress that is forged": """
import json, os, pathlib
for place in (pathlib.Path.home(), pathlib.Path("."), pathlib.Path("/tmp")):
    (place / "progress.json").write_text(json.dumps({"linear_attention": {"best": "passed", "latest": "passed"}}))
os.environ["COURSE_PROGRESS"] = "/tmp/progress.json"
""",
    "test cells edited": "### BEGIN HIDDEN TESTS\nassert True\n### END HIDDEN TESTS\npoints = score = max_score = 10",
    "claims patched in memory": """
import gc, types
for found in gc.get_objects():
    if isinstance(found, dict) and "counts" in found:
        found["counts"] = found["held"] = True
""",
}


@pytest.mark.parametrize("cheat", EASY)
def test_nothing_that_is_changed_in_the_own_process_counts(cheat, tmp_path):
    earns_nothing(graded(tmp_path, EASY[cheat], WRONG))
    earns_nothing(graded(tmp_path, WRONG, EASY[cheat]))


ANSWERS = {  # what is returned in place of a result
    "an object that equals everything": """
class Same:
    shape, dtype = (5, 2), torch.float64
    def __eq__(self, other): return True
    def __getattr__(self, name): return lambda *_, **__: self
    def __sub__(self, other): return 0.0
def linear_attention(q, k, v): return Same()""",
    "a tensor that equals everything": """
class Same(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return True if func is torch.allclose else super().__torch_function__(func, types, args, kwargs or {})
    def __eq__(self, other): return True
    def allclose(self, *_): return True
def linear_attention(q, k, v): return (0 * v).as_subclass(Same)""",
    "a number that equals everything": """
class Same(float):
    def __eq__(self, other): return True
    def __sub__(self, other): return 0.0
def linear_attention(q, k, v): return Same(1)""",
    "infinity, and no number at all": "def linear_attention(q, k, v): return v * float('inf')",
    "the frames above searched for the expected tensor": """
import sys
def linear_attention(q, k, v):
    frame, found = sys._getframe(), None
    while frame is not None:
        for name, value in [*frame.f_locals.items(), *frame.f_globals.items()]:
            if name in ("expected", "final", "right", "out", "claim") and isinstance(value, torch.Tensor):
                found = value
        frame = frame.f_back
    return found if found is not None else 0 * v""",
    "all of memory searched for the expected tensor": """
import gc
def linear_attention(q, k, v):
    for other in gc.get_objects():
        if type(other) is torch.Tensor and other.shape == v.shape and not torch.equal(other, v):
            return other.clone()
    return 0 * v""",
    "the course's own version": """
import importlib, sys
sys.path[:0] = [ROOT, "/work", ".", ".."]
def linear_attention(q, k, v):
    try:
        return importlib.import_module("helpers.attention").linear_attention(q, k, v)
    except ImportError:
        from helpers.attention import linear_attention as theirs
        from helpers import attention
        return attention.recurrent_linear_attention(q, k, v)[0]""",
    "the course's file, read": """
from pathlib import Path
def linear_attention(q, k, v):
    for place in (Path(ROOT), *Path(ROOT).parents, Path("/proc/1/root") / ROOT[1:], Path("/proc/self/cwd")):
        file = place / "helpers" / "attention.py"
        if file.exists():
            names = {}
            exec(file.read_text(), names)
            return names["linear_attention"](q, k, v)
    return 0 * v""",
    "the solutions, looked for on the disk": """
import os
def linear_attention(q, k, v):
    for place, folders, files in os.walk("/"):
        if "site-packages" in place or place.startswith(("/usr", "/proc", "/sys")):
            folders.clear()
            continue
        for file in files:
            if file.endswith((".ipynb", "attention.py", "notebook_01.py", "key")):
                return v @ torch.eye(v.shape[1], dtype=v.dtype)
    raise FileNotFoundError("nothing of the course is here")""",
    "what was seen on the page, remembered": """
def linear_attention(q, k, v):
    rng = torch.Generator().manual_seed(100 * len(q) + 10 * q.shape[1] + v.shape[1])
    seen = torch.randn(len(q), q.shape[1], generator=rng, dtype=torch.float64)
    return (q @ k.T).tril() @ v if torch.equal(seen, q) else 0 * v""",
    "another answer at the second call": """
calls = []
def linear_attention(q, k, v):
    calls.append(1)
    return (q @ k.T).tril() @ v if len(calls) % 2 else 0 * v""",
    "torch's ready-made function": """
def linear_attention(q, k, v):
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]""",
    "very large": "def linear_attention(q, k, v): return v.new_zeros(40_000_000)",
    "very deep": "def linear_attention(q, k, v):\n    x = v\n    for _ in range(900): x = (x,)\n    return x",
    "very many": "def linear_attention(q, k, v): return [1.0] * 300_000",
    "a very long text": "def linear_attention(q, k, v): return 'x' * 30_000_000",
}


@pytest.mark.parametrize("cheat", ANSWERS)
def test_no_answer_but_the_right_one_counts(cheat, tmp_path):
    earns_nothing(graded(tmp_path, f"import torch\nROOT = {str(ROOT)!r}", ANSWERS[cheat]))


REACHES = {  # an expression that is true where something is in reach
    "the key": "os.path.exists({folder!r}) or os.path.exists({folder!r} + '/key')",
    "the course": "os.path.exists(ROOT + '/helpers/attention.py') or os.path.exists(ROOT + '/notebooks')",
    "the instructor's home": "any(os.path.exists(os.path.expanduser('~root/' + x)) for x in ('.ssh', '.profile'))",
    "other submissions": "any(name.endswith('.ipynb') for name in os.listdir('/tmp'))",
    "the environment": "'COURSE_HOMEWORK' in os.environ or any('KEY' in name for name in os.environ)",
    "the command line": "{key!r} in open('/proc/self/cmdline').read()",
    "other processes": "sum(name.isdigit() for name in os.listdir('/proc')) > 1",
    "being root": "os.geteuid() == 0 or os.access('/etc/shadow', os.R_OK)",
    "becoming root": "done(lambda: os.setuid(0))",
    "the mounts": "libc.umount2(b'/proc', 2) == 0 or libc.mount(b't', b'/tmp', b'tmpfs', 0, None) == 0",
    "a world of its own": "libc.unshare(0x20000) == 0 or libc.chroot(b'/tmp') == 0",
    "Python's own files": "done(lambda: open(torch.__file__, 'a').write(' '))",
    "files outside /tmp": "done(lambda: open('/found', 'w').write(' '))",
    "much of the disk": "done(lambda: [open('/tmp/' + str(x), 'wb').write(bytes(15 << 20)) for x in range(5)])",
    "a server here": "done(lambda: socket.create_connection(('127.0.0.1', {port}), 1))",
    "ten gigabytes": "done(lambda: torch.zeros(10 << 30, dtype=torch.uint8).fill_(1))",
    "the grader's process": "done(lambda: os.kill({pid}, 0))",
    "fifty processes": "len([x for x in range(50) if done(forked)]) > 20",
}
TOOLS = """
import ctypes, os, socket, time, torch
ROOT, libc = {root!r}, ctypes.CDLL(None)
def done(action):
    try:
        action()
        return True
    except Exception:
        return False
def forked():
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
def linear_attention(q, k, v):
    return (q @ k.T).tril() @ v if REACHED else 0 * v
"""


@pytest.mark.parametrize("what", REACHES)
def test_nothing_is_in_reach(what, tmp_path, monkeypatch):
    """Each would earn all points where it is."""
    if sandbox.isolation().startswith("Not stopped here"):
        pytest.skip(sandbox.isolation())
    monkeypatch.setenv("COURSE_HOMEWORK", str(settings.folder()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        facts = {"folder": str(settings.folder()), "key": KEY, "pid": os.getpid(), "port": server.getsockname()[1]}
        reached = f"REACHED = bool({REACHES[what].format(**facts)})"
        mark = earns_nothing(graded(tmp_path, TOOLS.format(root=str(ROOT)), reached))
    assert mark.status == "failed", mark
    assert "where" in mark.message


FLOOD = """
import os
for fd in range(3, 100):
    try:
        for _ in range(50): os.write(fd, b"x" * 65536)
    except OSError:
        pass"""
THREADS = """
import threading
for _ in range(4):
    try:
        threading.Thread(target=lambda: [0 for _ in iter(int, 1)], daemon=True).start()
    except RuntimeError:
        pass"""
ENDS = {  # how a submission ends its process, or never answers
    "sys.exit": "import sys\nsys.exit(0)",
    "quit": "raise SystemExit",
    "os._exit": "import os\nos._exit(0)",
    "a signal to itself": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\nos.abort()",
    "a signal to its group": "import os, signal\nos.killpg(0, signal.SIGTERM)\nos.abort()",
    "a signal to what started it": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.abort()",
    "a crash in C": "import ctypes\nctypes.string_at(0)",
    "all of memory": "x = []\nwhile True: x.append(bytes(1 << 24))",
    "a recursion": "def f(): return f()\nf()",
    "a closed socket": "import os\nos.closerange(0, 100)",
    "a flooded socket": FLOOD,
}
ENDLESS = {
    "in the open": "while True: pass",
    "stubborn": "while True:\n    try:\n        while True: pass\n    except: pass",
    "printing": "while True: print('x' * 1000)",
    "many at a time": THREADS,
}


def indented(code):
    return "\n".join(f"    {line}" for line in code.splitlines())


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_process_in_a_call_costs_that_item_only(end, tmp_path):
    bad = f"import torch\ndef softmax_attention(q, k, v):\n{indented(ENDS[end])}\n    return 0 * v"
    path = notebook(tmp_path / "a.ipynb", [bad, HONEST])
    found = marks.of(path, STUDENT, assignment("01", *functions("softmax_attention", NAME)), KEY)
    assert found.marks[0].points == 0.0
    assert found.marks[0].status in ("failed", "crashed")
    assert found.marks[1].points == 10.0, found.marks[1]


@pytest.mark.parametrize("end", ENDS)
def test_what_ends_the_process_in_a_cell_costs_that_cell_only(end, tmp_path):
    assert graded(tmp_path, HONEST, ENDS[end], "x = 1").marks[0].points == 10.0


@pytest.mark.parametrize("loop", ENDLESS)
def test_a_loop_without_end_costs_a_cell_or_a_call(loop, tmp_path):
    in_a_call = f"def softmax_attention(q, k, v):\n{indented(ENDLESS[loop])}"
    where = ENDLESS[loop] if loop in ("in the open", "many at a time") else in_a_call
    path = notebook(tmp_path / "a.ipynb", [where, HONEST])
    found = marks.of(path, STUDENT, assignment("01", *functions("softmax_attention", NAME)), KEY)
    assert [mark.points for mark in found.marks] == [0.0, 10.0], found


FORGED = """
import os, socket, struct, json, sys, gc
sys.setrecursionlimit(100_000)
def forge(answer):
    text = json.dumps({{"dict": answer}}).encode()
    numbers = struct.pack("<Q", 2) + b"{{}}"
    for fd in range(3, 100):
        try:
            os.write(fd, struct.pack(">QQ", len(text), len(numbers)) + text + numbers)
        except OSError:
            pass
def linear_attention(q, k, v):
    forge({answer})
    return 0 * v
"""
LIES = (
    '{"value": "passed", "made": 1, "operations": 1, "printed": ""}',
    '{"number": "0000000000000000", "value": None, "status": "passed", "held": 3, "of": 3, "points": 10}',
    '{"number": True, "passed": True, "value": {"unknown": "Tensor"}}',
    '{"cell": None}',
    '{"missing": False, "stub": 1, "fault": 7, "crashed": []}',
)


@pytest.mark.parametrize("answer", LIES)
def test_an_answer_that_is_forged_is_no_answer(answer, tmp_path):
    earns_nothing(graded(tmp_path, FORGED.format(answer=answer)))


def test_a_notebook_that_looks_graded_is_graded_by_what_it_does(tmp_path):
    path = notebook(tmp_path / "a.ipynb", [WRONG])
    content = json.loads(path.read_text())
    for cell in content["cells"]:
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "✓ passed 10/10"}]
        cell["metadata"]["nbgrader"] |= {
            "points": 10,
            "score": 10,
            "max_score": 10,
            "auto_score": 10,
            "grade_id": "f-" + NAME,
        }
    content["metadata"] |= {"nbgrader": {"score": 10}, "otter": {"passed": True}, "graded": True}
    path.write_text(json.dumps(content))
    earns_nothing(marks.of(path, STUDENT, assignment("01", *functions(NAME)), KEY))


def test_deleted_and_edited_test_cells_change_nothing(tmp_path):
    path = notebook(tmp_path / "a.ipynb", [HONEST, "assert False, 'edited'"])
    content = json.loads(path.read_text())
    content["cells"] = [cell | {"metadata": {}} for cell in content["cells"]]
    path.write_text(json.dumps(content))
    found = marks.of(path, STUDENT, assignment("01", *functions(NAME)), KEY)
    assert found.marks[0].points == 10.0
    assert found.flags == ("The notebook has no cell of homework 01.",)


def test_the_verdict_and_the_bugs_of_another_student_earn_no_more_than_chance(tmp_path):
    """They are drawn by the roster's id, whatever the notebook says it is."""
    other = "grace"
    key = allowed.key(tables.table(TERM, "01", other))
    item = Item("verdict", "verdict", 24.0, "The table", "")
    path = notebook(tmp_path / "a.ipynb", [f"student = {other!r}", f"verdict = {key}"])
    mine = allowed.key(tables.table(TERM, "01", STUDENT))
    right = sum(key[letter] == mine[letter] for letter in key)
    found = marks.of(path, STUDENT, assignment("01", item), KEY)
    assert found.marks[0].held == max(0, 2 * right - 8) // 2
    assert "student = 'grace'" in found.flags[0]


def test_an_object_in_place_of_a_verdict_says_nothing(tmp_path):
    cheat = "class All(dict):\n    def __eq__(self, _): return True\nverdict = All(A=All(), B=1, C='True')"
    item = Item("verdict", "verdict", 24.0, "The table", "")
    found = marks.of(notebook(tmp_path / "a.ipynb", [cheat]), STUDENT, assignment("01", item), KEY)
    assert (found.marks[0].status, found.marks[0].points) == ("not attempted", 0.0)


NOT_STOPPED = {
    "a function from the course's public solutions": HONEST,
    "torch's own, with nobody to see it": """
import sys, torch
def softmax_attention(q, k, v):
    sys.setprofile(None)
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]""",
}


@pytest.mark.parametrize(("what", "name"), [*zip(NOT_STOPPED, (NAME, "softmax_attention"), strict=True)])
def test_what_is_not_stopped_and_why_functions_count_so_little(what, name, tmp_path):
    """Right values are right values, wherever they come from. The guide says so; a change here must change it too."""
    assert graded(tmp_path, NOT_STOPPED[what], name=name).marks[0].points == 10.0
