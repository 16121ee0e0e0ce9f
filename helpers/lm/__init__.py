"""A small decoder language model: model, text, training."""

from helpers.lm.model import *  # noqa: F403
