"""Files that grade many submissions, or run nbgrader or otter, take minutes: `make quick` leaves them out."""

from pathlib import Path

import pytest

SLOW = ("cheats", "class", "grade", "marks", "nbgrader", "nbgrader_release", "otter", "sandbox")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.stem.removeprefix("test_") in SLOW:
            item.add_marker(pytest.mark.grading)
