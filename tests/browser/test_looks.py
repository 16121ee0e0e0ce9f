"""What the other tests look for is found where it is: a page with one fault of each kind."""

import nbformat
import pytest
from lab import Notebook
from looks import CUT, FAULTS, RULES, accessible

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
WIDE = '<div style="width: 3000px; border: 1px solid #777777">too wide</div>'
OUTPUTS = {
    "an image without alt": {"text/html": f'<img width="9" height="9" src="{DOT}">'},
    "an image that is not seen": {"text/html": '<img alt="a picture" src="data:image/png;base64,AAAA">'},
    "a widget that is not there": {"text/html": "<p>Error displaying widget: model not found</p>"},
}


def outputs(data):
    return [nbformat.v4.new_output("display_data", data)]


def faulty():
    """A cell for each fault, what is wrong with it first; then some that nothing is wrong with."""
    cells = [nbformat.v4.new_code_cell("1", execution_count=1, outputs=outputs(data)) for data in OUTPUTS.values()]
    error = nbformat.v4.new_output("error", ename="Error", evalue="", traceback=["Error"])
    cells.append(nbformat.v4.new_code_cell("1", execution_count=1, outputs=[error]))
    cells.append(nbformat.v4.new_code_cell("1"))
    cells.append(nbformat.v4.new_markdown_cell('<span style="color: #999999">Too pale to be read.</span>'))
    cells.append(nbformat.v4.new_markdown_cell(WIDE))
    cells.append(nbformat.v4.new_markdown_cell(f'<div style="overflow-x: auto">{WIDE}</div>'))
    cells.append(nbformat.v4.new_markdown_cell("| " + "a wide table | " * 40 + "\n" + "|---" * 40 + "|"))
    cells.append(nbformat.v4.new_markdown_cell("$$" + "x + " * 200 + "x$$"))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def test_each_fault_is_found_and_what_scrolls_in_itself_is_none(page, lab):
    notebook = Notebook(page, lab, lab.add("faulty.ipynb", faulty())).open()
    expected = [*OUTPUTS, "an error or stderr"]
    assert notebook.all(FAULTS) == [f"cell {place}: {fault}" for place, fault in enumerate(expected)]
    assert notebook.unrun() == ["cell 4: not executed"]
    assert [fault.partition(":")[0] for fault in notebook.all(CUT)] == ["cell 6"]
    rules = {fault.partition(":")[0] for fault in accessible(page, RULES)}
    assert rules == {"color-contrast"}
