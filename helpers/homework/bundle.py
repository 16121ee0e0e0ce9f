"""What lies beside a student's notebook: the module it imports, what that needs, and the wrong functions' sources.

No solution, no key and no reason is in it. The wrong functions have numbers in place of their names, which would tell
too much; what is drawn depends on their order only.
"""

import json
from pathlib import Path

from helpers.check import EXERCISES
from helpers.homework import bugs

HERE = Path(__file__).resolve().parent
MODULES = {"student.py": "homework.py"} | {
    name: name for name in ("draws.py", "tables.py", "studies.py", "sentences.py")
}


def files(*names: str) -> dict[str, str]:
    """File name and text, for the homework of these notebooks."""
    modules = {target: (HERE / source).read_text(encoding="utf-8") for source, target in MODULES.items()}
    return modules | {f"bugs_{name}.json": bank(name) for name in names if bugs.bank(name)}


def bank(name: str) -> str:
    """A notebook's wrong functions, as the student's module reads them."""
    own = sorted(bugs.bank(name).items())
    told = {f"{place:03}": {"exercise": bug.exercise, "source": bug.source} for place, (_, bug) in enumerate(own)}
    exercises = {bug.exercise: about(bug.exercise) for _, bug in own}
    return json.dumps({"bugs": told, "exercises": exercises}, ensure_ascii=False, indent=1) + "\n"


def about(exercise: str) -> dict[str, str]:
    """What a function ought to do and takes: a student may not have met the exercise."""
    asked = EXERCISES[exercise]
    return {"number": asked.number, "equation": asked.equation, "inputs": inputs(exercise)}


def inputs(exercise: str) -> str:
    """The inputs with their shapes."""
    parts = (part.split() for part in bugs.SIGNATURES[exercise].split(", "))
    return ", ".join(f"{name} [{' '.join(dims)}]" if dims else name for name, *dims in parts)
