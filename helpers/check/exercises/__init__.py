"""The exercises: one module a notebook."""

from helpers.check.exercises import notebook_01, notebook_02, notebook_03, notebook_06, reasoning_06  # noqa: F401
