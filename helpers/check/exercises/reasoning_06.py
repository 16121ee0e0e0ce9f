"""The exercises of notebook 06 that ask for reasoning: a closed form, a flaw in an analysis, a valley as a control."""

from collections.abc import Iterator

import torch
from torch import Tensor

from helpers.check import seeds
from helpers.check.claims import Claim, Mistakes, equals, holds, is_diagnosis, is_tensor
from helpers.check.engine import Attempt, exercise
from helpers.support.typeset import number

STEPS, FLOOR, LESS = 100, 0.01, 0.01  # of a descent; the share of the first loss, and of plain descent's, that is left
RATES = 1000  # plain descent's, up to the one at which it diverges


def drawn(seed: int, low: float, high: float) -> float:
    """A number between the two, with two digits behind the point."""
    return round(low + (high - low) * torch.rand((), generator=seeds.generator(seed)).item(), 2)


def summed_weight(ages: Tensor, eta: float) -> Tensor:
    """Each age's weight in exact momentum, added up term by term."""
    return torch.tensor([sum(eta**k for k in range(int(age) + 1)) for age in ages], dtype=ages.dtype)


def weight_mistakes(ages: Tensor, eta: float) -> Mistakes:
    limit = 1 / (1 - eta)
    return {
        "This is the pair's weight in the last buffer alone: S_t holds every buffer from step i to t.": lambda: (
            eta**ages
        ),
        "These are the weights of MoAttn (eq. 6.2): they leave out that buffers add up in S_t.": lambda: torch.where(
            ages > 0, eta**ages, 0.0
        ),
        "One term too few: from step i to step t there are a + 1 steps, so that age 0 weighs 1.": lambda: (
            limit * (1 - eta**ages)
        ),
        "One term too many: from step i to step t there are a + 1 steps, so that age 0 weighs 1.": lambda: (
            limit * (1 - eta ** (ages + 2))
        ),
        "The pair's own step is missing: there it enters whole, with η⁰ = 1.": lambda: (
            limit * (eta - eta ** (ages + 1))
        ),
        "The sum begins with η⁰ = 1, not with η.": lambda: limit * eta * (1 - eta ** (ages + 1)),
        "The division by 1 − η is missing: 1 + η + … + η^a is not 1 − η^(a+1).": lambda: 1 - eta ** (ages + 1),
        "The sign: both parts of the fraction are positive, 1 − η^(a+1) and 1 − η.": lambda: (
            -limit * (1 - eta ** (ages + 1))
        ),
        "Divided by 1 + η: that is the sum whose signs alternate.": lambda: (1 - eta ** (ages + 1)) / (1 + eta),
        "This is what all ages tend to, 1/(1 − η): a young pair has had few steps.": lambda: limit + 0 * ages,
        "Nothing fades: each buffer keeps η times the one before.": lambda: ages + 1,
        "Only the steps after its own and the last are counted, 1 + η^a: the steps between add their part, too.": (
            lambda: 1 + eta**ages
        ),
    }


@exercise(
    "6.D1",
    kind="derive",
    title="How much a pair weighs after a steps",
    course=summed_weight,
    task="Return the weight with which v_i (k_i·q_t) stands in o_t, for every age a = t − i, in closed form.",
    equation="o_t = S_t q_t, S_t = S_{t−1} + u_t, u_t = v_t ⊗ k_t + η u_{t−1}",
    minutes=8,
    difficulty=2,
    importance=4,
    core=True,
    hints=(
        "Follow one pair v_i ⊗ k_i alone: in which buffers is it, and with which factor? Then add those buffers up.",
        "It is in u_i, u_(i+1), …, u_t, with the factors 1, η, …, η^a: a + 1 terms, each η times the one before.",
        "Call the sum s. Then s − η s keeps the first term and loses the last one times η. Solve that for s.",
    ),
    passed="The newest pair weighs 1, an old one nearly 1/(1 − η): exact momentum holds the newest pairs back.",
)
def momentum_weight(attempt: Attempt) -> Iterator[Claim]:
    for seed, ages in enumerate(([0, 1, 2, 3, 4, 5], [7, 2, 0, 4], [30, 3, 1])):
        eta, ages = drawn(seed, 0.4, 0.9), torch.tensor(ages, dtype=torch.float64)
        out = attempt(ages, eta)
        yield is_tensor(out, len(ages))
        says = f"the weights of pairs of age {', '.join(f'{age:.0f}' for age in ages)}, η = {eta}"
        yield equals(out, summed_weight(ages, eta), says, weight_mistakes(ages, eta))
    out = attempt(ages, 0.0)
    yield is_tensor(out, len(ages))
    yield equals(out, torch.ones_like(ages), "with η = 0 every pair weighs 1, as in plain linear attention")


LINES = {
    "1": "Line 1 gives each model the rate that suits it, and chooses it on documents that no later line looks at.",
    "2": "Line 2 lets each pair share first weights and batches: what both owe to luck is then the same in both.",
    "3": "Line 3 only measures: the windows were seen neither in training nor when the rates were chosen.",
    "4": "Line 4 subtracts what belongs together: how hard a window is, and a seed's luck, drop out of the difference.",
    "6": "Line 6 only reads the interval that it is given. It speaks of new trainings on this text alone.",
}
REASONS = {
    "A": "One rate for both would favour the model that it was tuned for. Each at its own best is the fair comparison.",
    "B": "Rates are chosen on validation documents. On the test windows nothing is chosen: they are only measured.",
    "C": "What two models share is no harm to a difference: it cancels. That is why one pairs by seed and by window.",
    "E": "The bootstrap takes the values as they come: it asks for no normal distribution.",
}


def the_flaw() -> tuple[int, str]:
    return 5, "D"


@exercise(
    "6.D2",
    kind="diagnose",
    title="What is wrong with this analysis?",
    course=the_flaw,
    task="Return the number of the one line of this analysis that is wrong, and the letter of the reason.",
    equation="(line number, letter of the reason)",
    minutes=6,
    difficulty=3,
    importance=5,
    core=True,
    hints=(
        "Ask at each line: what varies here by chance, and what would vary if the whole study were done once more?",
        "The last sentence is about new trainings. How many trainings are there, and how many values stand for them?",
        "Two windows read by the same pair of models share that pair's luck. Which line forgets that they do?",
    ),
    passed="The unit is the training: average the windows of each seed first, and eight differences are left.",
)
def flaw_of_the_interval(attempt: Attempt) -> Iterator[Claim]:
    yield from is_diagnosis(attempt(), the_flaw(), LINES, REASONS)


def loss_left(steepness: Tensor, lr: float | Tensor, beta: float) -> Tensor:
    """½ Σ h w² after the steps, as a share of what it was at w = (1, …, 1); for many rates at once [rates 1]."""
    w = before = torch.ones_like(steepness) + 0 * torch.as_tensor(lr)
    for _ in range(STEPS):
        w, before = w - lr * steepness * w + beta * (w - before), w
    return (steepness * w.square()).sum(-1) / steepness.sum()


def two_directions(lr: float, beta: float) -> Tensor:
    """A wall as steep as plain descent at this rate just stands, and a floor that asks for far larger steps."""
    return torch.tensor([2.0, 0.1 * (1 - beta)], dtype=torch.float64) / lr


def why_not_there(steepness: Tensor, lr: float, beta: float) -> str:
    """What keeps momentum from the floor."""
    left = f"It leaves {number(loss_left(steepness, lr, beta).item(), '.1e')} of the first loss."
    if steepness.max() * lr >= 2 * (1 + beta):
        return f"Too steep: momentum itself diverges from a steepness of 2 (1 + β)/lr on. {left}"
    return f"Momentum itself is still on its way: the flattest direction is too flat for {STEPS} steps. {left}"


def why_no_control(steepness: Tensor, lr: float, beta: float) -> str:
    """Which plain descent does as well, and why."""
    rates = torch.linspace(0, 2 / steepness.max().item(), RATES + 1, dtype=torch.float64)[1:]
    plain = loss_left(steepness, rates[:, None], 0.0)
    least, rate = plain.min(), rates[plain.argmin()].item()
    moving = loss_left(steepness, lr, beta)
    told = f"Plain descent at rate {number(rate, '.3g')} leaves {number(least.item(), '.1e')} of the first loss"
    told += f", momentum {number(moving.item(), '.1e')}."
    if moving < LESS * least:
        return ""
    if steepness.max() < 1.001 * steepness.min():
        return f"All directions are equally steep, and there one rate suits all: momentum isn't needed. {told}"
    if moving < least:
        return f"Momentum is ahead, but not a hundredfold: let the steepnesses differ more. {told}"
    if rate > lr:
        return f"A larger plain step does as well: where gradients agree, momentum is no more than that. {told}"
    return f"A plain step that is no larger does as well: nothing here needs momentum. {told}"


@exercise(
    "6.D3",
    kind="design",
    title="A valley that no plain rate explains",
    course=two_directions,
    task="Return the steepnesses [d] of a valley where momentum leaves a hundredth of what the best plain rate leaves.",
    equation="loss ½ Σ_j h_j w_j², from w = (1, …, 1), 100 steps; momentum: lr and β as given, plain: any rate",
    minutes=15,
    difficulty=3,
    importance=4,
    core=False,
    hints=(
        "Along one direction with steepness h a plain step multiplies w by 1 − rate · h. What limits the rate?",
        "The steepest direction caps every plain rate below 2/h. Then a flat one needs larger steps than that. "
        "Momentum stands until 2 (1 + β)/lr, and where gradients agree it moves as at rate lr/(1 − β).",
        "Two directions are enough: one near 2/lr, and one so flat that lr/(1 − β) times it is about a tenth.",
    ),
    passed="One direction caps every plain rate, the other needs a larger one: momentum is more than a larger step.",
)
def telling_valley(attempt: Attempt) -> Iterator[Claim]:
    for seed, (low, high) in enumerate(((0.4, 0.55), (0.6, 0.75), (0.8, 0.9))):
        lr, beta = drawn(10 + seed, 0.05, 1.0), drawn(20 + seed, low, high)
        valley = attempt(lr, beta)
        one = isinstance(valley, Tensor) and valley.dim() == 1 and len(valley)
        yield is_tensor(valley, len(valley) if one else 2, name="the valley")
        flat = "Every steepness must be above 0: else there is no lowest place to reach."
        yield holds(bool((valley > 0).all()), "the loss has a lowest place", flat)
        given = f"lr = {lr}, β = {beta}"
        there = bool(loss_left(valley, lr, beta) < FLOOR)
        broken = "" if there else why_not_there(valley, lr, beta)
        yield holds(there, f"momentum reaches the floor, {given}", broken, counts=True)
        broken = why_no_control(valley, lr, beta)
        yield holds(not broken, f"no plain rate does a hundredth as well, {given}", broken, counts=True)
