"""Set-up and doctor, with nothing large installed: what they would do, and what they say."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from helpers.course import assets, doctor, pip, setup, verbs
from helpers.support import ROOT, CourseError

BARE = [
    ROOT / "helpers" / name
    for name in (
        "__init__.py",
        "__main__.py",
        "support/__init__.py",
        "course/__init__.py",
        "course/layout.py",
        "course/offline.py",
        "course/pip.py",
        "course/setup.py",
        "course/verbs.py",
    )
]
ENTRY = re.compile(r"([a-z0-9-]+)==(\S+)(?: ; [^\n\\]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")


def helpers(*arguments, python=sys.executable, **environment):
    """`python -m helpers`, as a person types it."""
    return subprocess.run(
        [python, "-m", "helpers", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
    )


def two_lines(error):
    assert len(str(error).splitlines()) == 2
    return str(error)


def test_an_unknown_verb_lists_the_verbs():
    done, asked = helpers("unknown"), helpers("--help")
    assert (done.returncode, asked.returncode) == (2, 0)
    names = (
        "setup",
        "lab",
        "test",
        "quick",
        "assets",
        "doctor",
        "build",
        "course",
        "lint",
        "results",
        "lock",
        "bundle",
    )
    for name in names:
        assert f"'{name}'" in done.stderr
        assert re.search(rf"^  {name} +\w", asked.stdout, re.M)


@pytest.mark.parametrize(
    "arguments",
    [
        *([name, "nonsense"] for name in ("setup", "assets", "doctor", "course", "lint", "lock")),
        ["results", "nonsense"],
        ["bench", "speed", "nonsense"],
        ["build", "nonsense"],
        ["progress", "nonsense"],
        ["bundle", "nonsense"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_wrong_argument_is_two_lines_and_nothing_is_begun(arguments):
    done = helpers(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nonsense" in two_lines(done.stderr.strip())


def test_nothing_but_the_standard_library_before_there_is_an_environment():
    code = f"""if True:
        import json, sys
        sys.path.insert(0, {str(ROOT)!r})
        import helpers.__main__
        loaded = {{name.partition(".")[0] for name in sys.modules}}
        print(json.dumps(sorted(loaded - sys.stdlib_module_names - {{"__main__"}})))
    """
    done = subprocess.run([sys.executable, "-I", "-S", "-B", "-c", code], capture_output=True, text=True)
    assert json.loads(done.stdout or "null") == ["helpers"], done.stderr


@pytest.mark.parametrize("file", BARE, ids=lambda file: file.stem)
def test_a_python_too_old_can_read_what_runs_first(file):
    tree = ast.parse(file.read_text(encoding="utf-8"), feature_version=(3, 7))
    if any(isinstance(node, ast.FunctionDef) for node in ast.walk(tree)):
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


def old_pythons():
    """Interpreters of this machine between 3.7 and 3.10, one of each."""
    code = "import sys; assert (3, 7) <= sys.version_info < (3, 11)"
    for minor in range(7, 11):
        places = (
            shutil.which(f"python3.{minor}"),
            *Path("~/.pyenv/versions").expanduser().glob(f"3.{minor}.*/bin/python3"),
        )
        for python in filter(None, places):
            if not subprocess.run([python, "-c", code], capture_output=True).returncode:
                yield python
                break


def test_a_python_too_old_is_told_so():
    found = list(old_pythons())
    if not found:
        pytest.skip("no Python from 3.7 to 3.10 on this machine")
    for python in found:
        done = helpers("setup", python=python)
        assert done.returncode == 1
        assert re.search(
            r"^This is Python 3\.\d+\.\d+; the course needs 3\.11 or newer\.$", two_lines(done.stderr.strip()), re.M
        )


@pytest.mark.parametrize("executable", ["/conda/python.exe", "/bin/python3"])
def test_a_verb_runs_here_wherever_the_interpreter_of_the_environment_lies(monkeypatch, executable):
    """Not in bin/ below the prefix, as with conda on Windows: it must not start itself again and again."""
    monkeypatch.setattr(sys, "prefix", "/conda")
    monkeypatch.setattr(sys, "executable", executable)
    monkeypatch.setattr(sys, "argv", ["helpers", "doctor"])
    monkeypatch.setattr(setup, "environment", lambda: pytest.fail("started set-up"))
    monkeypatch.setitem(verbs.INSIDE, "doctor", lambda rest: 7)
    assert verbs.main() == 7


def test_an_environment_that_is_not_complete_is_told_so(monkeypatch, capsys):
    def import_it(rest):
        import nothing_of_that_name  # noqa: F401

    monkeypatch.setattr(sys, "argv", ["helpers", "doctor"])
    monkeypatch.setitem(verbs.INSIDE, "doctor", import_it)
    monkeypatch.setattr(setup, "ready", lambda: False)
    assert verbs.main() == 1
    assert two_lines(capsys.readouterr().err.strip()).endswith("Run: python -m helpers setup")
    monkeypatch.setattr(setup, "ready", lambda: True)
    with pytest.raises(ModuleNotFoundError):
        verbs.main()


class Pip:
    """Stands for pip: writes down what it is asked, and does it if `can` says so."""

    def __init__(self, can=lambda arguments: True):
        self.asked, self.can = [], can

    def __call__(self, *arguments, must=True):
        self.asked.append(arguments)
        if not self.can(arguments) and must:
            raise CourseError("pip stopped.\nTry again.")
        return self.can(arguments)


@pytest.fixture
def machine(monkeypatch):
    """A Linux without GPU or torch; yields a function that changes it and says what pip was asked for torch."""
    monkeypatch.delenv("COURSE_TORCH", raising=False)
    monkeypatch.delenv("CI", raising=False)

    def asked(platform="linux", have=None, gpu=False, can=lambda arguments: True):
        pip = Pip(can)
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/nvidia-smi" if gpu else None)
        monkeypatch.setattr(setup, "torch_version", lambda: have)
        monkeypatch.setattr(setup, "install", pip)
        setup.install_torch()
        return pip.asked

    return asked


WHEEL_AT_HAND = ("--no-deps", "--no-index", f"torch=={setup.TORCH}+cpu")
CPU_BUILD = ("--no-deps", "--index-url", setup.CPU_INDEX, "--retries", "1", f"torch=={setup.TORCH}+cpu")
PLAIN = (f"torch=={setup.TORCH}",)


@pytest.mark.parametrize("have", ["2.6.0", "2.9.1+cu126", "2.13.0+cpu", "2.10.0a0+git1234"])
def test_a_torch_that_fits_stays(machine, have):
    assert machine(have=have) == []
    assert machine(have=have, gpu=True) == []


@pytest.mark.parametrize("have", [None, "2.5.1", "1.13.1+cpu", "3.0.0"])
def test_without_a_gpu_linux_gets_the_cpu_build(machine, have):
    assert machine(have=have) == [WHEEL_AT_HAND]
    assert machine(have=have, can=lambda arguments: "--index-url" in arguments) == [WHEEL_AT_HAND, CPU_BUILD]


def only_plain(arguments):
    """A network on which neither PyTorch's index nor a wheel is at hand."""
    return arguments == PLAIN


def test_without_a_cpu_build_nothing_large_is_taken_instead(machine):
    asked = []
    with pytest.raises(CourseError, match="COURSE_TORCH=any python -m helpers setup") as caught:
        machine(can=lambda arguments: asked.append(arguments))
    two_lines(caught.value)
    assert list(dict.fromkeys(asked)) == [WHEEL_AT_HAND, CPU_BUILD]


@pytest.mark.parametrize(("name", "value"), [("COURSE_TORCH", "any"), ("CI", "true")])
def test_the_large_build_comes_last_and_its_size_is_said(machine, monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    assert machine() == [WHEEL_AT_HAND]
    assert machine(can=only_plain) == [WHEEL_AT_HAND, CPU_BUILD, PLAIN]
    assert "3 GB" in capsys.readouterr().out


def test_a_gpu_or_another_system_gets_the_plain_build(machine):
    assert machine(gpu=True) == [PLAIN]
    assert machine(platform="darwin") == [PLAIN]
    assert machine(platform="win32") == [PLAIN]


@pytest.mark.parametrize(
    ("version", "fits"),
    [("2.5.9", False), ("2.6", True), ("2.6.0+cu124", True), ("2.100.1", True), ("3.0", False), ("1.9", False)],
)
def test_the_range_of_torch(version, fits):
    assert setup._within(version) is fits


def test_the_range_of_torch_is_that_of_the_requirements():
    torch = next(wanted for wanted in doctor.requirements() if wanted.name == "torch")
    assert torch.specifier == Requirement("torch>={},<{}".format(*setup.TORCH_RANGE)).specifier
    assert torch.specifier.contains(setup.TORCH)


def test_pip_that_fails_is_quoted(monkeypatch):
    """The real pip, asked for what is nowhere."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(CourseError, match=r"Installing stopped: ERROR: No matching distribution") as caught:
        setup.install("--no-index", "nothing-of-that-name==1.0")
    two_lines(caught.value)
    assert not setup.install("--no-index", "nothing-of-that-name==1.0", must=False)


PLACES = {"user": "1", "target": "elsewhere", "prefix": "elsewhere", "root": "elsewhere"}


@pytest.fixture(scope="module")
def bare_environment(tmp_path_factory):
    """A real environment with a real pip, and a wheel to install there."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder / ".venv", with_pip=True)
    wheel = folder / "nothing_much-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        info = "nothing_much-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nothing_much\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return folder / ".venv", wheel


@pytest.mark.parametrize(
    ("setting", "written"), [*((name, "in the environment") for name in PLACES), ("user", "in a file")]
)
def test_pip_installs_into_the_environment_whatever_its_settings(
    bare_environment, monkeypatch, tmp_path, setting, written
):
    folder, wheel = bare_environment
    monkeypatch.setattr(setup, "python", lambda: folder / "bin" / "python")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    if written == "in a file":
        (tmp_path / "pip.conf").write_text(f"[install]\n{setting} = {PLACES[setting]}\n")
    else:
        monkeypatch.setenv(f"PIP_{setting.upper()}", PLACES[setting])
    setup.install("--no-index", "--no-deps", "--force-reinstall", wheel)
    installed = [*folder.rglob("nothing_much-1.0.dist-info")]
    assert len(installed) == 1
    shutil.rmtree(installed[0])


def test_pip_that_refuses_is_not_the_network(monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(CourseError, match="Installing stopped: ERROR: Invalid requirement") as caught:
        setup.install("--no-index", "no requirement at all")
    assert "network" not in two_lines(caught.value)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of its own, run by a Python that is in no environment; making one takes no time."""
    for name in ("requirements.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(setup, "ROOT", tmp_path)
    monkeypatch.setattr(setup, "ENVIRONMENT", tmp_path / ".venv")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    for name in ("COLAB_RELEASE_TAG", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(setup, "install_torch", lambda: None)
    monkeypatch.setattr(setup, "keep_jupyterlab_plain", lambda: None)
    monkeypatch.setattr(setup, "install", Pip())
    return tmp_path


@pytest.fixture
def quick_venv(monkeypatch):
    """An environment that is only an interpreter's name."""

    def create():
        setup.python().parent.mkdir(parents=True, exist_ok=True)
        setup.python().touch()

    monkeypatch.setattr(setup, "_create", create)


def test_the_environment_is_the_checkouts_own_unless_one_is_active(checkout, monkeypatch):
    assert checkout / ".venv" in setup.python().parents
    monkeypatch.setenv("COLAB_RELEASE_TAG", "1")
    assert setup.python() == Path(sys.executable)


def test_an_active_conda_environment_counts_only_if_its_python_runs(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path / "miniconda3"))
    assert checkout / ".venv" in setup.python().parents
    monkeypatch.setenv("CONDA_PREFIX", "")
    assert checkout / ".venv" in setup.python().parents
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    assert setup.python() == Path(sys.executable)


def test_another_conda_environment_is_not_ready_because_one_was(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    setup.environment()
    assert setup.ready()
    monkeypatch.setattr(sys, "executable", str(tmp_path / "another" / "bin" / "python"))
    assert not setup.ready()


def test_a_finished_set_up_is_ready_and_a_second_does_nothing(checkout, quick_venv):
    assert not setup.ready()
    setup.environment()
    assert setup.ready()
    assert ("--require-hashes", "--no-deps", "--requirement", checkout / "requirements.lock") in setup.install.asked
    setup.install.asked.clear()
    setup.environment()
    assert setup.install.asked == []


def test_an_interrupted_set_up_is_not_ready_and_goes_on(checkout, quick_venv, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(setup, "install", Pip(lambda arguments: "--editable" not in arguments))
        with pytest.raises(CourseError):
            setup.environment()
        assert not setup.ready()
    setup.environment()
    assert setup.ready()


def test_an_interrupted_renewal_is_not_ready(checkout, quick_venv, monkeypatch):
    """The stamp of the old environment goes before anything is changed."""
    setup.environment()
    (checkout / "requirements.lock").write_text("")
    assert not setup.ready()
    monkeypatch.setattr(setup, "install", Pip(lambda arguments: False))
    with pytest.raises(CourseError):
        setup.environment()
    assert not setup.stamp().exists()
    shutil.copy(ROOT / "requirements.lock", checkout)
    assert not setup.ready()


def test_somebody_elses_environment_is_completed_not_replaced(checkout, monkeypatch):
    monkeypatch.setenv("CONDA_PREFIX", sys.prefix)
    monkeypatch.setattr(setup, "_create", lambda: pytest.fail("made an environment"))
    setup.environment()
    assert setup.ready()
    assert setup.install.asked[0] == ("--requirement", checkout / "requirements.txt")
    assert checkout in setup.stamp().parents


def test_a_half_made_environment_is_made_again(checkout):
    """Interrupted before pip was in it."""
    venv.create(setup.ENVIRONMENT, with_pip=False)
    setup._create()
    made = setup.python().stat().st_ino, (setup.ENVIRONMENT / "pyvenv.cfg").stat().st_ino
    assert subprocess.run([setup.python(), "-c", "import pip"]).returncode == 0
    setup._create()
    assert made == (setup.python().stat().st_ino, (setup.ENVIRONMENT / "pyvenv.cfg").stat().st_ino)


def test_a_python_without_venv_is_told_what_to_install(checkout, monkeypatch):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(venv, "create", fail)
    with pytest.raises(CourseError, match="apt install python3-venv") as caught:
        setup.environment()
    two_lines(caught.value)
    assert not setup.ready()


def lock():
    """Package names and the versions locked for them."""
    locked = {}
    for name, version, _ in ENTRY.findall((ROOT / "requirements.lock").read_text()):
        locked.setdefault(name, []).append(Version(version))
    return locked


def test_the_lock_is_entries_with_hashes_and_nothing_else():
    """So it names no host, file or option either."""
    rest = ENTRY.sub("", (ROOT / "requirements.lock").read_text()).splitlines()
    assert all(line.startswith("#") and "://" not in line for line in rest), rest[:5]
    assert len(lock()) > 50


def test_the_lock_leaves_torch_and_what_only_its_cuda_build_needs_out():
    assert not [name for name in lock() if re.match("torch|nvidia|triton|cuda", name)]


@pytest.mark.parametrize("wanted", doctor.requirements(), ids=lambda wanted: wanted.name)
def test_the_lock_has_every_direct_requirement_in_its_range(wanted):
    versions = lock().get(wanted.name, [])
    assert (wanted.name == "torch") == (not versions)
    assert all(wanted.specifier.contains(version) for version in versions)


def found(findings):
    return {finding.what: finding for finding in findings}


def test_nothing_stops_the_course_on_this_machine():
    findings = doctor.report()
    assert not [finding for finding in findings if finding.status == "stop"]
    assert all(finding.do for finding in findings if finding.status == "stop")
    assert doctor.main() == 0


def test_an_empty_cache_stops_it_and_says_what_to_do(tmp_path):
    done = helpers("doctor", COURSE_CACHE=str(tmp_path))
    assert done.returncode == 1
    assert "STOP: model: Run: python -m helpers setup" in done.stdout
    assert "STOP: sentences: Run: python -m helpers setup" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def installed(monkeypatch):
    """A function that pretends other versions of packages; None: missing."""
    real = importlib.metadata.version

    def pretend(**versions):
        def version(package):
            if package in versions and versions[package] is None:
                raise importlib.metadata.PackageNotFoundError(package)
            return versions.get(package) or real(package)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return pretend


@pytest.mark.parametrize("version", [None, "3.6.8", "99.0"])
def test_a_missing_old_or_too_new_jupyterlab_or_widgets_is_only_a_note(installed, capsys, version):
    installed(jupyterlab=version, ipywidgets=version)
    findings = found(doctor.report())
    assert (findings["jupyterlab"].status, findings["ipywidgets"].status) == ("note", "note")
    assert doctor.main() == 0
    assert "note: jupyterlab: " in capsys.readouterr().out
    assert "Run: python -m helpers setup" in findings["jupyterlab"].do


@pytest.mark.parametrize("version", [None, "2.5.1+cpu", "3.0.0"])
def test_a_missing_old_or_too_new_torch_stops_it(installed, version):
    installed(torch=version)
    findings = found(doctor.report())
    assert findings["torch"].status == "stop"
    assert "python -m helpers setup" in findings["torch"].do
    assert doctor.main() == 1


@pytest.mark.parametrize("version", ["2.6.0", "2.9.1+cu126", "2.10.0a0+git1234"])
def test_a_torch_of_its_own_build_is_in_range(installed, version):
    installed(torch=version)
    assert found(doctor.report())["torch"].status == "ok"


def test_packages_in_their_range_are_one_line_and_others_a_line_each(installed):
    assert not found(doctor.report()).keys() & {"numpy", "scipy"}
    assert found(doctor.report())["packages"].seen == f"{len(doctor.requirements()) - 1} others in range"
    installed(numpy="1.0", scipy=None)
    findings = found(doctor.report())
    assert {findings[name].status for name in ("numpy", "scipy")} == {"stop"}
    assert findings["packages"].seen == f"{len(doctor.requirements()) - 3} others in range"


def test_what_only_authors_need_bothers_no_reader(installed):
    """On Binder, say: no note for each, one clause for all."""
    installed(pytest=None, ruff=None, jupyterlab=None)
    findings = found(doctor.report())
    assert not findings.keys() & {"pytest", "ruff"}
    assert findings["jupyterlab"].status == "note"
    assert findings["packages"].seen.endswith("; 2 that only authors need are not here")


GB = 10**9


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"memory.max": 12 * GB // 10}, 1.2),
        ({"memory.max": 2 * GB, "memory.current": GB // 2}, 1.5),
        ({"memory.max": 2 * GB, "memory.current": GB, "memory.stat": f"anon 1\ninactive_file {GB // 2}"}, 1.5),
        ({"memory.max": GB, "memory.current": 2 * GB}, 0.0),
        ({"memory.limit_in_bytes": GB}, 1.0),
        ({"memory/memory.limit_in_bytes": 2 * GB, "memory/memory.usage_in_bytes": GB}, 1.0),
        ({"memory.max": "max", "memory.current": GB}, None),
        ({"memory.max": "?"}, None),
        ({}, None),
    ],
)
def test_what_a_container_allows(tmp_path, files, free):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    allowed = doctor.container_memory(tmp_path)
    assert free == (allowed if allowed is None else allowed / GB)


@pytest.mark.parametrize("allowed", [GB, 0])
def test_the_doctor_says_the_least_of_what_the_machine_and_the_container_have(monkeypatch, allowed):
    monkeypatch.setattr(doctor, "container_memory", lambda: allowed)
    memory = found(doctor.report())["memory"]
    assert (memory.status, memory.seen) == ("note", f"{allowed / GB:.1f} GB free")


def test_a_cache_folder_that_is_a_file_stops_what_is_still_to_come(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    cache = found(doctor.report())["cache"]
    assert (cache.status, "is a file" in cache.seen) == ("stop", True)
    monkeypatch.setattr(assets, "intact", lambda name: True)
    assert found(doctor.report())["cache"].status == "note"


def test_progress_that_cannot_be_read_or_kept_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    assert found(doctor.report())["progress"].status == "ok"
    (tmp_path / "progress.json").write_text("[]")
    assert "no JSON object" in found(doctor.report())["progress"].do
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json" / "below"))
    assert found(doctor.report())["progress"].status == "note"


def test_little_memory_is_a_note_and_little_disk_stops_only_what_is_still_to_come(monkeypatch, tmp_path):
    memory, disk = psutil.virtual_memory()._replace(available=10**9), shutil.disk_usage(ROOT)._replace(free=0)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: disk)
    findings = found(doctor.report())
    assert findings["memory"].status == "note"
    assert "close other programs" in findings["memory"].do
    assert findings["disk"].status == "ok"
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "not" / "yet"))
    assert found(doctor.report())["disk"].status == "stop"


def test_the_report_fits_in_a_hundred_columns(capsys):
    long = "a long word of advice " * 12
    doctor.show(
        [*doctor.report(), doctor.Finding("device", "stop", "NVIDIA " * 30, long), doctor.Finding("x", "note", "y")]
    )
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    assert " ".join(out.split()).count("a long word of advice") == 12


def test_an_address_changes_no_environment(checkout):
    """What is published is told in pyproject.toml; nothing is installed anew for that."""
    before, project = setup.made_from(), checkout / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace("\n[tool.", '\n[project.urls]\nRepository = "https://github.com/a/b"\n\n[tool.', 1))
    assert setup.made_from() == before
    project.write_text(text.replace('requires-python = ">=3.11"', 'requires-python = ">=3.12"'))
    assert setup.made_from() != before


ASKS = """import signal, sys, time
def asks(number, frame):
    print("shut down?", flush=True)
    time.sleep(0.5)
    sys.exit(0)
signal.signal(signal.SIGINT, asks)
print("ready", flush=True)
time.sleep(60)
"""
WAITS = """import subprocess, sys
from helpers.course import verbs
sys.exit(verbs._until_it_ends(subprocess.Popen(sys.argv[1:])))
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing on Windows")
def test_ctrl_c_is_jupyterlabs_own_to_answer():
    """It asks and may go on: whoever waits for it neither kills it nor calls it a failure."""
    command = [sys.executable, "-c", WAITS, sys.executable, "-c", ASKS]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True) as lab:
        assert lab.stdout.readline() == "ready\n"
        os.killpg(lab.pid, signal.SIGINT)
        assert lab.stdout.read() == "shut down?\n"
        assert lab.wait(30) == 0


# --- pip, and the bar in its place

SLOW = """import sys, time
for i in range(4):
    print("Collecting a==1" if i % 2 else "Ignoring b: markers don't match", flush=True)
    time.sleep(0.4)
print("Installing collected packages: a", flush=True)
time.sleep(0.4)
sys.exit("ERROR: it stopped")
"""


@pytest.fixture
def slow(tmp_path):
    """A program that speaks as pip does, and a file of requirements that names four packages."""
    wanted = tmp_path / "wanted.txt"
    wanted.write_text("".join(f"{name}==1 \\\n    --hash=sha256:00\n" for name in "abcd"))
    return [sys.executable, "-c", SLOW, "--requirement", str(wanted)]


def test_a_terminal_gets_a_bar_and_what_pip_complained_of_is_kept(slow, monkeypatch, capfd):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    status, log = pip.run(slow, dict(os.environ))
    drawn = capfd.readouterr().out
    assert (status, log.strip()) == (1, "ERROR: it stopped")
    found = [int(number) for number in re.findall(r"(\d) of 4 packages", drawn)]
    assert found == sorted(found)
    assert {1, 3} <= set(found)
    assert "unpacking" in drawn
    assert "Collecting" not in drawn
    assert "\n" not in drawn


@pytest.mark.parametrize("verbose", ["", "1"])
def test_a_file_gets_no_bar_and_pips_own_words_only_when_asked(slow, monkeypatch, capfd, verbose):
    monkeypatch.setenv("COURSE_VERBOSE", verbose)
    assert pip.run(slow, dict(os.environ))[0] == 1
    said = capfd.readouterr()
    assert ("Collecting a==1" in said.out) == bool(verbose)
    assert ("ERROR: it stopped" in said.err) == bool(verbose)
    assert "packages," not in said.out
