"""The exercises: one module a notebook."""

from helpers.check.exercises import (  # noqa: F401
    layers_03,
    notebook_01,
    notebook_02,
    notebook_03,
    notebook_06,
    reasoning_01,
    reasoning_02,
    reasoning_03,
    reasoning_06,
)
