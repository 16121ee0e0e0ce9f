"""What stopped pip, read off its own words. Standard library only: set-up needs this before anything is installed."""

from __future__ import annotations

SIGNS = {  # in lower case; the first kind that pip's output shows is the cause
    "hash": ("do not match the hashes",),
    "disk": ("no space left", "file too large", "quota exceeded", "not enough space"),
    "network": (
        "connection",
        "timed out",
        "network is unreachable",
        "name resolution",
        "proxyerror",
        "sslerror",
        "(from versions: none)",  # all that pip says of an index that it can't reach
    ),
}
ASIDES = ("[notice]", "WARNING", "note:", "hint:", "╰─>")


def cause(log: str) -> str:
    """What stopped pip: "hash", "disk", "network"; "" where its output names none of them."""
    log = log.lower()
    return next((kind for kind, signs in SIGNS.items() if any(sign in log for sign in signs)), "")


def last_words(log: str) -> str:
    """The last line of pip's output that tells what happened: an ERROR where there is one."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.strip().startswith(ASIDES)]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["nothing"])[-1][:300]
