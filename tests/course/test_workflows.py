"""The workflows of a public CI, which nothing here can run: they are whole, and what they call is there."""

import re

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from helpers.course import assets, verbs
from helpers.support import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEST = ROOT / ".github" / "workflows" / "test.yml"


def steps(file):
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_it_says_that_it_was_never_run_and_every_step_does_one_thing(file):
    assert "Never run yet" in file.read_text(encoding="utf-8").partition("\nname:")[0]
    assert all(("run" in step) != ("uses" in step) for step in steps(file))
    assert all(re.fullmatch(r"[\w/-]+@v\d+", step["uses"]) for step in steps(file) if "uses" in step)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_its_verbs_and_files_are_there(file):
    commands = "\n".join(step.get("run", "") for step in steps(file))
    called = re.findall(r"^(?:python -m helpers|make) (\S+)", commands, re.M)
    assert called
    assert set(called) <= {*verbs.OUTSIDE, *verbs.INSIDE}
    targets = re.search(r"^lab .*:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)[0].rstrip(":").split()
    assert set(re.findall(r"^make (\S+)", commands, re.M)) <= set(targets)
    named = re.findall(r"hashFiles\('(.+?)'\)|cache-dependency-path: (\S+)", file.read_text(encoding="utf-8"))
    assert [name for pair in named for name in pair if name and not (ROOT / name).exists()] == []


def test_the_matrix_is_three_systems_and_every_python_allowed():
    job = yaml.safe_load(TEST.read_text(encoding="utf-8"))["jobs"]["test"]
    matrix = job["strategy"]["matrix"]
    assert len(matrix["os"]) == 3
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    allowed = SpecifierSet(re.search(r'requires-python = "(.+)"', project)[1])
    assert all(allowed.contains(version) for version in matrix["python"])
    assert not allowed.contains("3.10")
    kinds = [step["if"] for step in job["steps"] if step.get("run", "").split()[-1:] in (["test"], ["quick"])]
    assert kinds == [
        "matrix.os == 'ubuntu-latest' && matrix.python == '3.12'",
        "matrix.os != 'ubuntu-latest' || matrix.python != '3.12'",
    ]


def test_what_is_kept_between_runs_is_all_that_set_up_fetches():
    job = yaml.safe_load(TEST.read_text(encoding="utf-8"))["jobs"]["test"]
    (kept,) = (step["with"]["path"].split() for step in job["steps"] if "actions/cache" in step.get("uses", ""))
    place = job["env"]["COURSE_CACHE"]
    assert {*kept} == {f"{place}/{asset.target[0]}" for asset in assets.ASSETS.values()}
