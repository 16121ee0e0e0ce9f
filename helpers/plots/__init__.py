"""Figures: each draws what it is handed, in colours all can tell apart, with a text for those who can't see it."""

from helpers.plots.curves import by_layer, lines, losses, points
from helpers.plots.diagrams import route, updates
from helpers.plots.estimates import accuracies, answers, differences, forest, label_bias
from helpers.plots.grids import maps, matrices, pictures, recovered
from helpers.plots.page import place, show

__all__ = ["accuracies", "answers", "by_layer", "differences", "label_bias", "lines", "losses", "maps", "matrices"]
__all__ += ["forest", "pictures", "place", "points", "recovered", "route", "show", "updates"]
