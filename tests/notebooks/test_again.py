"""A reader goes back: after "Run all" every cell runs again, in its order and out of it, without a bare NameError."""

import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from helpers.course import build


@pytest.mark.notebook
@pytest.mark.real
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("source", build.sources(), ids=lambda source: source.stem)
def test_cells_run_twice_and_out_of_order(source, tmp_path, monkeypatch):
    """From the last cell back to the first: what a cell needs must still be there, as it needs it."""
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    made = build.notebook(source, solved=True)
    client = NotebookClient(made, timeout=900, kernel_name="python3", resources={"metadata": {"path": build.STUDENT}})
    places = [place for place, cell in enumerate(made.cells) if cell.cell_type == "code"]
    with client.setup_kernel():
        for place in (*places, *reversed(places)):
            try:
                client.execute_cell(made.cells[place], place)
            except CellExecutionError as error:
                pytest.fail(f"cell {place}, {made.cells[place].source[:80]!r}: {error.ename}: {error.evalue}")
