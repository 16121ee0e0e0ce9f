"""Every wrong attempt of the bank is refused with its own sentence, every right one passes."""

import pytest
from misconceptions import bank

from helpers.check import verdict

BANK = bank()


@pytest.mark.parametrize(("name", "attempt", "said"), BANK, ids=lambda x: getattr(x, "__name__", None))
def test_the_bank(name, attempt, said):
    found = verdict(attempt, name)
    if said is None:
        assert found.status == "passed", found.message
    else:
        assert found.status == "failed"
        assert said in found.message
