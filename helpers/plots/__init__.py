"""Figures."""

from helpers.plots.figures import *  # noqa: F403
