"""What a reader can touch. Without widgets every one of them is a call with an argument, and says so."""

from helpers.support.findings import finding
from helpers.widgets.digits import leave_out
from helpers.widgets.head import Head, gpt_head, look, toy_head
from helpers.widgets.memory import memory
from helpers.widgets.microscope import microscope
from helpers.widgets.predictions import explain, predict, reveal
from helpers.widgets.valley import valley

__all__ = [
    "Head",
    "explain",
    "finding",
    "gpt_head",
    "leave_out",
    "look",
    "memory",
    "microscope",
    "predict",
    "reveal",
    "toy_head",
    "valley",
]
