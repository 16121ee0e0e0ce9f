"""Figures: each draws what it is handed, in colours all can tell apart, with a text for those who can't see it."""

from helpers.plots.curves import by_layer, lines, losses, points
from helpers.plots.diagrams import bars, updates
from helpers.plots.estimates import accuracies, answers, differences, forest, label_bias, shares
from helpers.plots.grids import maps, matrices, pictures, recovered
from helpers.plots.page import place, show
from helpers.plots.processes import momentum_across_layers, prompt_against_finetuning
from helpers.plots.schematics import attention_flow, icl_split, state_written, step_as_outer_products

__all__ = ["accuracies", "answers", "bars", "by_layer", "differences", "label_bias", "lines", "losses", "maps"]
__all__ += ["forest", "matrices", "pictures", "place", "points", "recovered", "shares", "show", "updates"]
__all__ += ["attention_flow", "icl_split", "momentum_across_layers", "prompt_against_finetuning", "state_written"]
__all__ += ["step_as_outer_products"]
