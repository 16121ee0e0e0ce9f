"""The tests on every Python here, with the lowest and the highest versions that requirements.txt allows; torch apart.

    python tests/parity.py [3.11] [3.12-highest] ... [tests/gpt] [tests/shelf] ...

A script, not a test: a run takes five to twenty minutes, or less for some folders of tests, which its line then says.
What is committed is tested, in a copy, so that nothing that is edited meanwhile matters. Every run is one line of
data/results/parity.md; one that is there for this commit is not repeated, and an environment in build/parity is used
again. torch comes as set-up brings it: where it has no CPU build for a Python, COURSE_TORCH=any takes the large one.
Real models, notebooks and browsers are left out.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "parity"
TABLE = ROOT / "data" / "results" / "parity.md"
PYTHONS = tuple(f"3.{minor}" for minor in range(11, 15))
RESOLUTIONS = {"lowest": "lowest-direct", "highest": "highest"}
SHOWN = ("torch", "transformers", "numpy", "scipy", "pandas", "matplotlib", "jupyterlab", "pytest")
COLUMNS = ("Python", "versions", *SHOWN, "tests", "passed", "failed", "skipped", "minutes")
COLUMNS += ("date", "commit", "what failed")
HEAD = """\
# Lowest and highest versions

What `tests/parity.py` found: the tests that need no real model, notebook or browser, on Linux, with the lowest versions
that [requirements.txt](../../requirements.txt) allows (the lowest that have a wheel for that Python) and with the
highest of that day. torch is the one that set-up installs.

What fails with the lowest: transformers 5.0 gives the attention of StableLM, a family that the course itself does not
use, another mask than it sees, so its heads can't be looked into. Nothing fails with the highest.

"""


def main() -> int:
    """Every run whose name starts with one of the arguments, all without any; 1 if a test failed in one."""
    commit, failed = _output("git", "rev-parse", "--short=10", "HEAD"), 0
    folders = [word for word in sys.argv[1:] if word.startswith("tests")]
    asked, what = [word for word in sys.argv[1:] if word not in folders], " ".join(folders) or "all"
    for version, python in pythons().items():
        for versions in RESOLUTIONS:
            name = f"{version}-{versions}"
            if not name.startswith(tuple(asked or [""])):
                continue
            row = recorded().get(name)
            if row is None or (row["commit"], row["tests"]) != (commit, what):
                row = run(name, python, versions, commit, folders) | {"commit": commit, "tests": what}
                write(recorded() | {name: row})
            print(f"{name}: {row['passed']} passed, {row['failed']} failed, {row['minutes']} minutes", flush=True)
            failed |= int(row["failed"] != "0")
    return failed


def pythons() -> dict[str, str]:
    """The newest interpreter of every minor version, on the path or of pyenv."""
    found = {}
    for version in PYTHONS:
        here = Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python3")
        places = [*sorted(map(str, here), key=_number), shutil.which(f"python{version}")]
        working = [place for place in places if place and _output(place, "-c", "print(1)") == "1"]
        if working:
            found[version] = working[0]
        else:
            print(f"Python {version}: none here")
    return found


def _number(place: str) -> int:
    """Newest first."""
    return -int(re.search(r"3\.\d+\.(\d+)", place)[1])


def _output(*command: str | Path) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def run(name: str, python: str, versions: str, commit: str, folders: list[str]) -> dict[str, str]:
    """Make the environment, run the tests of this commit in it, and return the run's line."""
    environment, tree, log = FOLDER / name, FOLDER / f"{name}-tree", FOLDER / f"{name}.log"
    FOLDER.mkdir(parents=True, exist_ok=True)
    inside = environment / "bin" / "python"
    print(f"{name}: environment", flush=True)
    with log.open("w") as out:
        _copy(tree, commit, out)
        _install(tree, environment, python, RESOLUTIONS[versions], out)
        print(f"{name}: tests ({log.relative_to(ROOT)})", flush=True)
        start = time.perf_counter()
        counts = _test(tree, inside, folders, FOLDER / f"{name}.xml", out)
    counts["minutes"] = f"{(time.perf_counter() - start) / 60:.0f}"
    shutil.rmtree(tree)
    return {
        "Python": _output(inside, "-c", "import platform; print(platform.python_version())"),
        "versions": versions,
        **_versions(inside),
        **counts,
        "date": str(date.today()),
    }


def _copy(tree: Path, commit: str, out: object) -> None:
    """A commit as files."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    archive = subprocess.Popen(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x"], cwd=tree, stdin=archive.stdout, stdout=out, stderr=out, check=True)


def _settings(tree: Path) -> dict[str, str]:
    """The surroundings of a run: this copy is what is imported, and no other environment is active."""
    return {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"} | {"PYTHONPATH": str(tree)}


def _install(tree: Path, environment: Path, python: str, resolution: str, out: object) -> None:
    """torch by set-up's own step, then the resolved versions of the rest; a kept environment is brought there."""
    uv, inside = Path(sys.executable).parent / "uv", environment / "bin" / "python"
    wanted = FOLDER / f"{environment.name}.txt"
    without = FOLDER / "without-torch.txt"
    wanted.unlink(missing_ok=True)  # uv would keep to what an earlier one says
    without.write_text("torch; sys_platform == 'never'\n")
    compiled = ["--resolution", resolution, "--override", without, "--only-binary", ":all:", "--quiet"]
    torch = "from helpers.course import setup; setup.install_torch()"
    ready = environment / ".parity-ready"
    if not ready.exists():  # none yet, or one that was stopped half-way
        shutil.rmtree(environment, ignore_errors=True)
    steps = (
        *([] if ready.exists() else [[uv, "venv", "--seed", "--python", python, environment]]),
        [uv, "pip", "compile", tree / "requirements.txt", "--python", inside, *compiled, "--output-file", wanted],
        [inside, "-c", torch],
        [uv, "pip", "install", "--no-deps", "--python", inside, "--requirement", wanted],
    )
    for step in steps:
        if subprocess.run(step, cwd=tree, env=_settings(tree), stdout=out, stderr=out).returncode:
            raise SystemExit(f"{environment.name}: `{' '.join(map(str, step[:4]))}` failed; see build/parity")
    ready.touch()


def _test(tree: Path, inside: Path, folders: list[str], report: Path, out: object) -> dict[str, str]:
    """Run the tests of this copy; how they ended."""
    report.unlink(missing_ok=True)
    slow = "not real and not notebook and not browser and not grading"
    chosen = ["-m", slow, "-q", f"--junit-xml={report}", *folders]
    subprocess.run([inside, "-m", "pytest", *chosen], cwd=tree, env=_settings(tree), stdout=out, stderr=out)
    if report.exists():
        return _counts(report)
    told = re.findall(r"^E +(.+?)(?: \(.*\))?$", Path(out.name).read_text(errors="replace"), re.M)
    return {"passed": "0", "failed": "all", "skipped": "0", "what failed": told[-1] if told else "pytest did not run"}


def _versions(inside: Path) -> dict[str, str]:
    code = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]))"
    return dict(zip(SHOWN, _output(inside, "-c", code, *SHOWN).split(), strict=True))


def _counts(report: Path) -> dict[str, str]:
    """How the tests ended, and the names of those that failed."""
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    total, *ends = (int(suite.get(name)) for name in ("tests", "failures", "errors", "skipped"))
    cases = [case for case in suite.iter("testcase") if {"failure", "error"} & {child.tag for child in case}]
    names = sorted({f"{case.get('classname').split('.')[-1]}: {case.get('name').split('[')[0]}" for case in cases})
    return {
        "passed": str(total - sum(ends)),
        "failed": str(ends[0] + ends[1]),
        "skipped": str(ends[2]),
        "what failed": "; ".join(names),
    }


def recorded() -> dict[str, dict[str, str]]:
    """The table's lines by the name of their run."""
    lines = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if re.match(r"\| 3\.", line)]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells]
    return {f"{row['Python'].rpartition('.')[0]}-{row['versions']}": row for row in rows}


def write(rows: dict[str, dict[str, str]]) -> None:
    """The table anew, every run in its place."""
    table = [COLUMNS, ["---"] * len(COLUMNS), *([row[column] for column in COLUMNS] for _, row in sorted(rows.items()))]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in table)
    scratch = TABLE.with_suffix(".unfinished")
    scratch.write_text(HEAD + lines, encoding="utf-8")
    scratch.replace(TABLE)


if __name__ == "__main__":
    sys.exit(main())
