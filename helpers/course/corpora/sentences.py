"""Rated sentences into tasks: unsure labels and near-duplicates out (and counted), the rest split for good."""

import csv
import hashlib
import html
import io
import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

RATED = {
    "movie": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "news": "nytEditorialSnippets",
    "tweet": "tweets",
}
UNSURE = 0.5  # a mean rating (−4 to 4) nearer to zero than this has no clear sign
SIMILAR = 0.8  # cosine of word counts (tf-idf) above which two sentences are near-duplicates
WORDS = range(4, 41)  # sentences of this many words

Row = dict[str, str]


def prepare(rated: dict[str, str], reviews: str) -> dict[str, tuple[list[Row], dict[str, int]]]:
    """Per task its rows (text, label, split) and how many sentences were left out, and why."""
    collections = {name: read_ratings(text) for name, text in rated.items()}
    sources = {
        "mr": [(text, _sign(rating)) for text, rating in collections["movie"]],
        "subj": read_reviews(reviews),
        "source": [(text, name) for name, rows in collections.items() for text, _ in rows],
    }
    return {task: clean(pairs) for task, pairs in sources.items()}


def read_ratings(text: str) -> list[tuple[str, float]]:
    """Sentences and their mean rating, from lines `id, rating, sentence` parted by tabs."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip()]
    return [(_tidy(sentence), float(rating)) for _, rating, sentence in rows]


def read_reviews(text: str) -> list[tuple[str, str]]:
    """Review sentences, and the first sentence of each plot."""
    rows = csv.DictReader(io.StringIO(text))
    return [
        (
            _tidy(re.split(r"(?<=[.!?])\s", row["text"].strip())[0] if row["category"] == "plot" else row["text"]),
            _kind(row["category"]),
        )
        for row in rows
    ]


def _kind(category: str) -> str:
    return "plot" if category == "plot" else "review"


def _sign(rating: float) -> str:
    return "unsure" if abs(rating) < UNSURE else "positive" if rating > 0 else "negative"


def _tidy(text: str) -> str:
    return " ".join(html.unescape(text).split())


def clean(pairs: list[tuple[str, str]]) -> tuple[list[Row], dict[str, int]]:
    """Leave out what has no clear label, is too short or long, or repeats another; balance the labels; split."""
    left_out = {"unsure label": sum(label == "unsure" for _, label in pairs)}
    kept = [(text, label) for text, label in pairs if label != "unsure"]
    left_out["too short or long"] = sum(len(text.split()) not in WORDS for text, _ in kept)
    kept = sorted((pair for pair in kept if len(pair[0].split()) in WORDS), key=lambda pair: _order(pair[0]))
    first = first_of_its_kind([text for text, _ in kept])
    left_out["near-duplicate"] = int((~first).sum())
    shelves = defaultdict(list)
    for (text, label), keep in zip(kept, first, strict=True):
        if keep:
            shelves[label].append(text)
    size = min(map(len, shelves.values()))
    left_out["surplus of a label"] = sum(len(shelf) - size for shelf in shelves.values())
    rows = [row for label, shelf in shelves.items() for row in _shelved(label, shelf[:size])]
    return [row for _, row in sorted(rows, key=lambda placed: placed[0])], left_out


def _shelved(label: str, texts: list[str]) -> Iterator[tuple[tuple[int, str], Row]]:
    """One label's rows with their places: the labels take turns, so that any first k of a split are balanced."""
    ranks: dict[str, int] = defaultdict(int)
    for text in texts:
        split = _split(text)
        yield (ranks[split], _order(text)), {"text": text, "label": label, "split": split}
        ranks[split] += 1


def _order(text: str) -> str:
    """A fixed random order."""
    return hashlib.sha256(text.encode()).hexdigest()


def _split(text: str) -> str:
    """Six in ten to train, two to development, two to test, by a hash of the text."""
    return ("train", "dev", "test")[(0, 0, 0, 0, 0, 0, 1, 1, 2, 2)[int(_order(text)[-8:], 16) % 10]]


def first_of_its_kind(texts: list[str]) -> np.ndarray:
    """Of each group of near-duplicates (cosine of tf-idf ≥ `SIMILAR`, linked in chains) only the first: bool [n]."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True, dtype=np.float32).fit_transform(texts)
    pairs = []
    for start in range(0, len(texts), 1000):
        similar = (vectors[start : start + 1000] @ vectors.T).tocoo()
        near = similar.data >= SIMILAR
        pairs.append((similar.row[near] + start, similar.col[near]))
    rows, columns = (np.concatenate(side) for side in zip(*pairs, strict=True))
    _, group = connected_components(
        coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(texts),) * 2), directed=False
    )
    first = np.zeros(len(texts), dtype=bool)
    first[np.unique(group, return_index=True)[1]] = True
    return first
