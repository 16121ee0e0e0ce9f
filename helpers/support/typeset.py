"""Sentences with formulas and code, written as plain text and set as a page should show them.

A sentence writes `code` in backticks, an index as k_t or S_(t−1), a power as η^(t−i). A terminal shows it as it is.
"""

import html
import re

CODE = re.compile(r"(`[^`]+`)")
MARK = re.compile(
    r"(?<=[^\W\d_]|[>)'Σ\u0303])(?<![A-Za-z]{3})([_^])(\([^()]*\)|\{[^{}]*\}|[A-Za-z\d]+)"
)  # o_t, ΔW_ICL; not zero_shot
NAME = re.compile(r"(\b[a-z]{2,}(?:_[a-z]+)+\b)")  # of a function: gd_as_attention
HYPHEN = re.compile(r"(?<![\w\]).])-(?=\d|inf\b)|(?<=\de)-(?=\d)")  # a minus sign in front of a number


def in_html(text: str) -> str:
    """A sentence as html."""
    return "".join(
        _code(part) if CODE.fullmatch(part) else _formulas(html.escape(part, quote=False)) for part in CODE.split(text)
    )


def in_markdown(text: str) -> str:
    """A sentence as markdown, which has its own sign for code."""
    return "".join(part if CODE.fullmatch(part) else _formulas(part) for part in CODE.split(text))


def number(value: float, form: str) -> str:
    """A number in a sentence: with a minus sign, not a hyphen, and an exponent without a leading zero."""
    return re.sub(r"e(−?)\+?0*(?=\d)", r"e\1", f"{value:{form}}".replace("-", "−"))


def _code(part: str) -> str:
    return f"<code style='padding: 0 2px'>{html.escape(part[1:-1])}</code>"


def _formulas(part: str) -> str:
    """Real subscripts and superscripts, and one kind of minus sign."""
    parts = NAME.split(HYPHEN.sub("−", part))
    return "".join(piece if NAME.fullmatch(piece) else MARK.sub(_raised, piece) for piece in parts)


def _raised(found: re.Match) -> str:
    tag = "sub" if found[1] == "_" else "sup"
    return f"<{tag}>{found[2].strip('(){}')}</{tag}>"
