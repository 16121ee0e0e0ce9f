"""What lies beside a student's notebook: the module it imports, what that needs, and the wrong functions' sources.

No solution, no key and no reason is in it. The wrong functions have numbers in place of their names, which would tell
too much; what is drawn depends on their order only.
"""

import json
from pathlib import Path

from helpers.check import EXERCISES
from helpers.homework import bugs, inputs

HERE = Path(__file__).resolve().parent
MODULES = {"student.py": "homework.py"} | {
    name: name for name in ("draws.py", "inputs.py", "tables.py", "studies.py", "sentences.py")
}

WHAT = {  # in one line, with every letter of the equation that its inputs don't explain
    "softmax_attention": "Every token t averages the values up to its own, weighted by the softmax of its scores.",
    "linear_attention": "As softmax attention, with the raw scores k_i·q_t as weights; they need not sum to one.",
    "recurrent_linear_attention": "Linear attention token by token: a state S [m d], 0 at first, is all it keeps.",
    "chunked_linear_attention": "Linear attention in chunks of `chunk` tokens, the last may be shorter: tokens of the "
    "same chunk are compared one by one; S_c = Σ v_i ⊗ k_i, over all tokens of earlier chunks, stands for the rest.",
    "normalized_linear_attention": "Linear attention with positive weights that are divided by their sum; "
    "elu(z) + 1 is z + 1 above 0 and e^z below.",
    "weight_update": "The change [m d] of a linear layer's weights: one outer product for each example.",
    "gradient_step": "One step of gradient descent on ½ Σ ‖w x_i − y_i‖², y_i the targets; it returns (e, w').",
    "dual_forward": "What the layer W₀ + Σ e_i ⊗ x_i makes of x, computed without that sum: attention to the inputs.",
    "unrolled_training": "Full-batch gradient descent from w0 for `steps` steps; it returns all errors and all inputs, "
    "[steps·n m] and [steps·n d], with which `dual_forward` is the trained layer.",
    "contributions": "Each training example's share [n m] of how the prediction for x changed.",
    "meta_gradient": "What demonstrations x'_i add to the weights of attention without softmax: an [m d] matrix.",
    "icl_decomposition": "Attention without softmax, of one query, over demonstrations and the query's own context: "
    "its two parts, (W_ZSL q, ΔW_ICL q), W_ZSL from the context and ΔW_ICL from the demonstrations.",
    "softmax_decomposition": "One query's softmax attention over n keys, the first `demos` of which are the "
    "demonstrations', in three parts: the weight α of these, attention to the others alone (F_ZSL), to these (μ_D).",
    "delta_rule": "Linear attention whose state S, 0 at first, takes one gradient step a token, on ½ ‖S k_t − v_t‖² "
    "with the rate lr, before it is read.",
    "gd_as_attention": "The weights w_q, w_k, w_v and p of a layer of attention without softmax that is one gradient "
    "step from w0 at rate lr; tokens are e = (x, y), a query's is (x, −W₀x), and minus its new y is the prediction.",
    "best_step_size": "The rate of one gradient step from W = 0 with the least mean squared error over b tasks; p_b is "
    "the step's prediction for x_b at rate 1, t are the targets.",
    "rank_one_patch": "The smallest change of w that makes of `before` what w makes of `after`.",
    "momentum_gradients": "The running buffer of momentum, for each of n gradients.",
    "momentum_attention": "Softmax attention plus a sum of all values before, each older one smaller by the factor η.",
    "momentum_scan": "For every token the sum of the values before it, each older one smaller by the factor η.",
    "heavy_ball_layers": "w·x after `layers` steps of gradient descent with momentum β, from w = 0; y are the targets.",
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
    told = {"number": asked.number, "equation": asked.equation, "what": WHAT[exercise]}
    return told | {"inputs": inputs.described(exercise)}
