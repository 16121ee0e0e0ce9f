"""What students may try: the code of cheats, by what they do."""

NAME = "linear_attention"
HONEST = "import torch\ndef linear_attention(q, k, v):\n    return (q @ k.T).tril() @ v"

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

NOT_STOPPED = {
    "a function from the course's public solutions": HONEST,
    "torch's own, with nobody to see it": """
import sys, torch
def softmax_attention(q, k, v):
    sys.setprofile(None)
    return torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]""",
}
