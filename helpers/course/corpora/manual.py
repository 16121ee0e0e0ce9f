"""A manual of several hundred pages into long documents, each in one split for good."""

import hashlib

PAGES = "django-5.2.8/docs/"
LICENCE = "django-5.2.8/LICENSE"

Row = dict[str, str]


def is_page(member: str) -> bool:
    """Whether a member of the source package is a page of the manual (there is one licence of a font among them)."""
    return member.startswith(PAGES) and member.endswith(".txt") and "/_theme/" not in member


def prepare(pages: dict[str, str]) -> list[Row]:
    """Name, text and split of every page that says something, in a fixed random order."""
    names = sorted((name for name, text in pages.items() if text.strip()), key=_order)
    return [{"name": name, "text": pages[name], "split": split(name)} for name in names]


def split(name: str) -> str:
    """Eight in ten to train, one to development, one to test, by a hash of the name; release notes always to train.

    Release notes repeat each other, the same repair told once for every version: they would carry test text into train.
    """
    if name.startswith("releases/"):
        return "train"
    return (*["train"] * 8, "dev", "test")[int(_order(name)[-8:], 16) % 10]


def _order(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
