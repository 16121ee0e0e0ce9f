"""Where the examples of tasks lie: word pairs with the course, sentences in the cache; and how they are split."""

import json
import random

from helpers.support import ROOT, cache

WORDS = ROOT / "data" / "tasks"
SPLITS = ("train", "dev", "test")


def examples(file: str) -> dict[str, list[dict]]:
    """The examples of one file by split, in their fixed order."""
    written = WORDS / f"{file}.jsonl"
    path = written if written.exists() else cache.folder("sentences", f"{file}.jsonl")
    if not path.exists():
        raise FileNotFoundError(
            f"The sentences are not here yet ({path}).\nFetch them once (12 MB): python -m helpers setup"
        )
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if written.exists():
        rows = _split_words(rows)
    return {split: [row for row in rows if row["split"] == split] for split in SPLITS}


def _split_words(rows: list[dict]) -> list[dict]:
    """Word pairs in a fixed random order: 100 to test, half of the rest to train, the remainder for development."""
    rows = random.Random("word pairs").sample(sorted(rows, key=lambda row: row["text"]), len(rows))
    train = (len(rows) - 100) // 2
    parts = ["test"] * 100 + ["train"] * train + ["dev"] * (len(rows) - 100 - train)
    return [row | {"split": part} for row, part in zip(rows, parts, strict=True)]
