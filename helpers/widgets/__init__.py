"""What a reader can touch. Without widgets every one of them is a call with an argument, and says so."""

from helpers.widgets.head import Head, gpt_head, look, toy_head
from helpers.widgets.microscope import microscope
from helpers.widgets.predictions import predict, reveal
from helpers.widgets.valley_film import valley

__all__ = ["Head", "gpt_head", "look", "microscope", "predict", "reveal", "toy_head", "valley"]
