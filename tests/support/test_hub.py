"""Downloads from the hub under every fault: a real server on this machine, the real huggingface_hub.

Only waiting is not real: `time.sleep` writes down how long it was asked to wait.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pandas as pd
import pytest
from hub_server import COMMIT, Hub
from huggingface_hub import constants
from huggingface_hub.utils import close_session

from helpers.support import ROOT, CourseError, hub
from helpers.support.hub import Source

REPO = "SetFit/subj"
ROWS = Source(REPO, COMMIT, "train.jsonl")
TABLE = Source(REPO, COMMIT, "data/train.parquet")
FRAME = pd.DataFrame({"text": ["it rains", "1999", "a “quoted” line "], "label": [0, 1, 1]})


def parquet():
    file = io.BytesIO()
    FRAME.to_parquet(file)
    return file.getvalue()


def jsonl():
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in FRAME.to_dict("records")).encode()


@pytest.fixture
def waits(monkeypatch):
    asked = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


@pytest.fixture
def server(tmp_path, monkeypatch, waits):
    """A hub with one data set, allowed to be asked; cache and lock in folders of their own."""
    served = Hub()
    served.add("datasets", REPO, {ROWS.file: jsonl(), TABLE.file: parquet(), "large.bin": bytes(range(256)) * 200})
    served.large = {TABLE.file, "large.bin"}
    close_session()  # whatever proxy an earlier client knew
    with served.running():
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read when the library was imported
        monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(hub, "LOCK", tmp_path / "hub.lock.json")
        yield served
    close_session()


def left(tmp_path):
    """Every file of content that the cache holds, whole or not."""
    return [path for path in (tmp_path / "cache" / "hub").rglob("*") if path.is_file() and "blobs" in path.parts]


@contextmanager
def refused(*words):
    """Two lines for a person, with these words."""
    with pytest.raises(CourseError) as caught:
        yield
    first, second = str(caught.value).split("\n")
    assert len(first) > 20
    assert len(second) > 20
    assert all(word in f"{first} {second}" for word in words), f"{first} {second}"


def test_what_is_read_is_what_is_served_and_nothing_is_asked_twice(server):
    for source in (ROWS, TABLE):
        assert not hub.is_here(source)
        pd.testing.assert_frame_equal(hub.read(source), FRAME, check_dtype=False)
        assert hub.is_here(source)
    asked = list(server.seen)
    assert {file for _, file, _ in asked} == {ROWS.file, TABLE.file}
    hub.read(ROWS)
    assert server.seen == asked


def test_the_lock_keeps_repository_commit_file_and_hash(server, tmp_path):
    hub.fetch(ROWS)
    hub.fetch(TABLE)
    rows = json.loads((tmp_path / "hub.lock.json").read_text())
    expected = {"repo": REPO, "revision": COMMIT}
    assert expected | {"file": ROWS.file, "sha256": hashlib.sha256(jsonl()).hexdigest()} in rows
    assert len(rows) == 2


def test_a_limit_is_waited_for_as_long_as_the_hub_asks(server, waits):
    server.befall("HEAD", ROWS.file, {"status": 429, "headers": {"Retry-After": "7"}}, times=2)
    server.befall("GET", ROWS.file, {"status": 429, "headers": {"Retry-After": "11"}})
    assert hub.fetch(ROWS).read_bytes() == jsonl()
    assert waits == [8, 12]  # the library adds a second to each


def test_a_limit_that_stays_is_said(server, tmp_path):
    server.befall("HEAD", ROWS.file, {"status": 429, "headers": {"Retry-After": "0"}}, times=99)
    with refused("429", "HF_TOKEN"):
        hub.fetch(ROWS)
    assert left(tmp_path) == []


def test_an_overloaded_hub_is_asked_again(server, waits):
    server.befall("GET", ROWS.file, {"status": 503, "headers": {"Retry-After": "5"}})
    server.befall("GET", ROWS.file, {"status": 503})
    assert hub.fetch(ROWS).read_bytes() == jsonl()
    assert waits == [5, hub.WAITS[1]]


def test_a_hub_that_stays_overloaded_is_said(server, tmp_path):
    server.befall("GET", ROWS.file, {"status": 503}, times=99)
    with refused("answers 503", "run the same command again"):
        hub.fetch(ROWS)
    assert left(tmp_path) == []
    server.troubles.clear()
    assert hub.fetch(ROWS).read_bytes() == jsonl()


def test_a_download_that_is_cut_goes_on_where_it_was(server, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    whole, large = bytes(range(256)) * 200, Source(REPO, COMMIT, "large.bin")
    server.befall("GET", "large.bin", {"cut": 20_500})
    server.befall("GET", "large.bin", {"cut": 10_000})
    assert hub.fetch(large).read_bytes() == whole
    ranges = [asked for method, _, asked in server.seen if method == "GET"]
    assert ranges == [None, "bytes=20000-", "bytes=30000-"]


def test_a_connection_that_is_reset_is_tried_again(server, waits):
    server.befall("GET", "large.bin", {"reset": 20_000}, times=2)
    assert hub.fetch(Source(REPO, COMMIT, "large.bin")).read_bytes() == bytes(range(256)) * 200
    assert waits


def test_a_download_that_is_always_cut_leaves_nothing(server, tmp_path):
    server.befall("GET", ROWS.file, {"cut": 10}, times=999)
    with refused("could not be downloaded", "Check the network"):
        hub.fetch(ROWS)
    assert left(tmp_path) == []
    assert not hub.is_here(ROWS)


def test_other_bytes_under_the_same_commit_are_refused_and_deleted(server, tmp_path, monkeypatch):
    hub.fetch(ROWS)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "another machine"))
    files = server.repos["datasets", REPO]
    files[ROWS.file] = jsonl().replace(b"rains", b"snows")
    with refused("not what it was", "proxy"):
        hub.fetch(ROWS)
    assert not hub.is_here(ROWS)
    files[ROWS.file] = jsonl()
    assert hub.fetch(ROWS).read_bytes() == jsonl()


def test_a_file_that_was_changed_on_this_machine_is_refused(server):
    hub.fetch(ROWS).write_bytes(jsonl().replace(b"rains", b"snows"))
    with refused("not what it was"):
        hub.read(ROWS)
    pd.testing.assert_frame_equal(hub.read(ROWS), FRAME, check_dtype=False)  # fetched anew


def test_a_large_file_is_checked_at_its_first_download(server, tmp_path):
    server.claims["large.bin"] = "5" * 64
    with refused("not what it was", "proxy"):
        hub.fetch(Source(REPO, COMMIT, "large.bin"))
    assert not (tmp_path / "hub.lock.json").exists()
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "source",
    [Source(REPO, "f" * 40, ROWS.file), Source(REPO, COMMIT, "dev.jsonl")],
    ids=["commit", "file"],
)
def test_what_the_hub_does_not_have_is_said_at_once(server, waits, source):
    with refused(f"no {source.file} of {REPO} at commit {source.revision}", "report"):
        hub.fetch(source)
    assert waits == []


def test_a_login_page_is_not_taken_for_a_data_set(server, tmp_path):
    server.befall("HEAD", ROWS.file, {"portal": True}, times=99)
    with refused("could not be downloaded", "Check the network"):
        hub.fetch(ROWS)
    assert left(tmp_path) == []


def test_no_network_is_said(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # discard: nobody listens
    with refused("could not be downloaded", "Check the network"):
        hub.fetch(ROWS)


def test_no_hub_is_asked_unless_it_is_allowed(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with refused("asks no hub", "HF_HUB_OFFLINE=0"):
        hub.fetch(ROWS)
    assert server.seen == []


def test_what_is_here_is_read_without_the_hub(server, monkeypatch):
    hub.fetch(ROWS)
    server.seen.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    pd.testing.assert_frame_equal(hub.read(ROWS), FRAME, check_dtype=False)
    assert server.seen == []


CHILD = """
import resource, signal, sys
from helpers.support import CourseError, hub
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    hub.fetch(hub.Source(*sys.argv[1:]))
except CourseError as error:
    sys.exit(str(error))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits of POSIX")
def test_a_full_disk_is_said_and_leaves_nothing(server, tmp_path):
    """In a process of its own, whose environment alone allows the hub and names it."""
    command = [sys.executable, "-c", CHILD, REPO, COMMIT, "large.bin"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    *_, first, second = done.stderr.strip().splitlines()
    assert "large.bin" in first
    assert "too large" in first
    assert second.startswith("Make room")
    assert left(tmp_path) == []
