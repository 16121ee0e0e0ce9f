"""Every equation of the notebooks has a function that computes it and a test that proves it; the table says which."""

import pytest

from helpers.course import build, equations

PLACES = {number: source.stem[:2] for source in build.sources() for number in equations.places(source)}


@pytest.mark.parametrize("number", PLACES)
def test_an_equation_has_its_function_and_its_test(number):
    assert PLACES[number] == f"0{number[0]}", "an equation is numbered by its notebook"
    assert equations.functions().get(number)
    assert equations.tests().get(number)


def test_no_docstring_names_an_equation_that_stands_nowhere():
    written = {source.stem[1] for source in build.sources()}  # the others' equations are still to come
    named = equations.functions().keys() | equations.tests().keys()
    assert {number for number in named if number[0] in written} <= PLACES.keys()


def test_the_table_names_section_function_and_test():
    rows = equations.equation_table(build.sources(["01"])[0]).splitlines()
    function, test = "`attention.softmax_attention`", "`test_softmax_attention_is_torchs`"
    assert f"| (eq. 1.1) | 1 · Attention is a table ★ | {function} | {test} |" in rows


def test_a_docstring_begins_with_its_numbers(tmp_path):
    file = tmp_path / "x.py"
    file.write_text(
        'def f():\n    """(eq. 1.1), (eq. 2.3): both."""\n\n\n'
        'class C:\n    def g(self):\n        """(eq. 1.1): it."""\n\n\n'
        'def h():\n    """As (eq. 1.1) says: not its own."""\n'
    )
    assert equations._documented([file], module=True) == {"1.1": ["x.f", "x.C.g"], "2.3": ["x.f"]}
