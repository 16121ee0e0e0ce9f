"""A small decoder language model: its network (`model`), its text (`text`), its training and use (`training`)."""

from helpers.lm.model import ATTENTION, LanguageModel, Shape  # noqa: F401
from helpers.lm.text import END, corpus, encode, random_windows, vocabulary  # noqa: F401
from helpers.lm.training import TrainingConfig, descend, generate, losses_by_position, train, training_steps  # noqa: F401
