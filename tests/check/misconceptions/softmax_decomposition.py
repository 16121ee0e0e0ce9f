import torch

from . import right, wrong

NAME = "softmax_decomposition"


@right(NAME)
def by_hand(q, k, v, demos):
    weights = torch.exp(k @ q / len(q) ** 0.5)
    shown, own = weights[:demos], weights[demos:]
    return shown.sum() / weights.sum(), own @ v[demos:] / own.sum(), shown @ v[:demos] / shown.sum()


@right(NAME)
def masked(q, k, v, demos):
    """Attention without a part is attention with its scores at −∞."""
    scores, late = k @ q / len(q) ** 0.5, torch.arange(len(k)) >= demos
    alpha = torch.softmax(scores, 0)[~late].sum().item()
    parts = (torch.softmax(scores.masked_fill(hidden, float("-inf")), 0) @ v for hidden in (~late, late))
    return (alpha, *parts)


@right(NAME)
def from_logsumexp(q, k, v, demos):
    scores = torch.einsum("nd,d->n", k, q) / len(q) ** 0.5
    alpha = (scores[:demos].logsumexp(0) - scores.logsumexp(0)).exp()
    return [alpha, scores[demos:].softmax(0) @ v[demos:], scores[:demos].softmax(0) @ v[:demos]]


@right(NAME)
def with_the_exercise_of_notebook_01(q, k, v, demos):
    from helpers.attention import softmax_attention

    def last(k, v):
        return softmax_attention(q.expand_as(k), k, v)[-1]

    ones = torch.cat([torch.ones(demos, 1), torch.zeros(len(k) - demos, 1)]).double()
    return last(k, ones)[0], last(k[demos:], v[demos:]), last(k[:demos], v[:demos])


def split(q, k, v, demos, scale=None):
    scores = k @ q / (len(q) ** 0.5 if scale is None else scale)
    weights = scores.softmax(0)
    return weights[:demos].sum(), scores[demos:].softmax(0) @ v[demos:], scores[:demos].softmax(0) @ v[:demos]


@wrong(NAME, "share of the query's own text")
def the_rest(q, k, v, demos):
    alpha, zero_shot, from_demos = split(q, k, v, demos)
    return 1 - alpha, zero_shot, from_demos


@wrong(NAME, "divided by √d before the softmax")
def unscaled(q, k, v, demos):
    return split(q, k, v, demos, scale=1)


@wrong(NAME, "Tokens are counted")
def counted(q, k, v, demos):
    return (demos / len(k), *split(q, k, v, demos)[1:])


@wrong(NAME, "ratio of the two shares")
def odds(q, k, v, demos):
    weights = (k @ q / len(q) ** 0.5).exp()
    return (weights[:demos].sum() / weights[demos:].sum(), *split(q, k, v, demos)[1:])


@wrong(NAME, "mean weight of a demonstration")
def mean_weight(q, k, v, demos):
    return ((k @ q / len(q) ** 0.5).softmax(0)[:demos].mean(), *split(q, k, v, demos)[1:])


@wrong(NAME, "scaled by its share already")
def shares_of_the_whole(q, k, v, demos):
    weights = (k @ q / len(q) ** 0.5).softmax(0)
    return weights[:demos].sum(), weights[demos:] @ v[demos:], weights[:demos] @ v[:demos]


@wrong(NAME, "changed places")
def the_other_order(q, k, v, demos):
    alpha, zero_shot, from_demos = split(q, k, v, demos)
    return alpha, from_demos, zero_shot


@wrong(NAME, "attention over all keys")
def sees_everything(q, k, v, demos):
    alpha, _, from_demos = split(q, k, v, demos)
    return alpha, (k @ q / len(q) ** 0.5).softmax(0) @ v, from_demos


@wrong(NAME, "divided by √d in the parts, too")
def half_scaled(q, k, v, demos):
    return split(q, k, v, demos)[0], *split(q, k, v, demos, scale=1)[1:]


@wrong(NAME, "softmax is missing in the part")
def relaxed_zero_shot(q, k, v, demos):
    alpha, _, from_demos = split(q, k, v, demos)
    return alpha, (k[demos:] @ q) @ v[demos:], from_demos


@wrong(NAME, "plain mean of its values")
def mean_of_the_demonstrations(q, k, v, demos):
    return *split(q, k, v, demos)[:2], v[:demos].mean(0)


@wrong(NAME, "Three results are asked for")
def put_together(q, k, v, demos):
    alpha, zero_shot, from_demos = split(q, k, v, demos)
    return (1 - alpha) * zero_shot + alpha * from_demos


@wrong(NAME, "one number is asked for")
def a_weight_each(q, k, v, demos):
    return (k @ q / len(q) ** 0.5).softmax(0)[:demos], *split(q, k, v, demos)[1:]


@wrong(NAME, "calls `softmax_decomposition`")
def the_courses_own(q, k, v, demos):
    from helpers import dual

    return dual.softmax_decomposition(q, k, v, demos)
