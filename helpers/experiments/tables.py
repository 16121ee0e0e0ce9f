"""Markdown from rows of cells, and numbers as prose and tables write them."""

from collections.abc import Sequence

import pandas as pd


def markdown(frame: pd.DataFrame) -> str:
    """A table as GitHub reads it; columns are named as they are headed, None stands for nothing to say."""
    rows = [frame.columns, *frame.itertuples(index=False)]
    head, *body = ["|" + "".join(" |" if pd.isna(cell) else f" {cell} |" for cell in row) for row in rows]
    return "\n".join([head, "|---" * frame.shape[1] + "|", *body])


def minus(text: str) -> str:
    """With the sign that a minus has in print."""
    return text.replace("-", "−")


def with_interval(found: Sequence[float], digits: int = 2, sign: str = "") -> str:
    """A mean with its interval: "+0.12 (−0.03 to +0.27)"."""
    mean, low, high = (f"{number:{sign}.{digits}f}" for number in found)
    return minus(f"{mean} ({low} to {high})")


def with_range(values: Sequence[float], digits: int = 2) -> str:
    """A mean with the lowest and highest: "0.12 [0.10, 0.14]"."""
    mean = sum(values) / len(values)
    return f"{mean:.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"
