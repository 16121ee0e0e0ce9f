import math

import torch

from . import right, wrong

NAME = "reading_error"


@right(NAME)
def as_derived(n, d):
    return 2 / d, (n - 1) / d


@right(NAME)
def term_by_term(n, d):
    fourth, second = 3 / d**2, 1 / d
    return sum(fourth - second**2 for _ in range(d)), sum(second * second for _ in range(d) for _ in range(n - 1))


@right(NAME)
def as_tensors(n, d):
    variances = torch.tensor([3 / d**2 - 1 / d**2, 1 / d**2], dtype=torch.float64) * d
    return variances[0], (n - 1) * variances[1]


@right(NAME)
def as_a_list_of_fractions(n, d):
    from fractions import Fraction

    return [float(Fraction(2, d)), float(Fraction(n - 1, d))]


def pair(own, others):
    def answer(n, d):
        return own(n, d), others(n, d)

    return answer


def two_over(n, d):
    return 2 / d


def rest(n, d):
    return (n - 1) / d


OWN = {
    "as_for_unit_keys": (lambda n, d: 0, "length exactly 1"),
    "without_the_value": (lambda n, d: 1 + 2 / d, "come off before the square"),
    "fourth_moment_alone": (lambda n, d: d * 3 / d**2, "square of the mean"),
    "a_single_entry": (lambda n, d: 2 / d**2, "one entry of the key"),
    "as_two_keys": (lambda n, d: d / d**2, "x meets itself"),
    "own_root": (lambda n, d: math.sqrt(2 / d), "root was taken"),
    "never_divided": (lambda n, d: d * d * 2 / d**2, "cancelled once"),
}
OTHERS = {
    "all_n": (lambda n, d: n / d, "own key is counted"),
    "root": (lambda n, d: math.sqrt((n - 1) / d), "root was taken"),
    "one_pair": (lambda n, d: 1 / d, "one other pair"),
    "entry_of_each": (lambda n, d: (n - 1) / d / d, "one entry of each key"),
    "coherent": (lambda n, d: (n - 1) ** 2 * (1 / d), "lengths are added"),
    "typical_size": (lambda n, d: (n - 1) * d**-0.5, "mean square is asked for"),
    "they_average_out": (lambda n, d: 0.0, "mean of its square is not"),
    "all_together": (lambda n, d: 2 / d + (n - 1) / d, "sum of both parts"),
    "without_width": (lambda n, d: n - 1, "width d is missing"),
}
for name, (own, said) in OWN.items():
    attempt = pair(own, rest)
    attempt.__name__ = name
    wrong(NAME, said)(attempt)
for name, (others, said) in OTHERS.items():
    attempt = pair(two_over, others)
    attempt.__name__ = name
    wrong(NAME, said)(attempt)


@wrong(NAME, "no known mistake")
def the_other_way_round(n, d):
    return (n - 1) / d, 2 / d


@wrong(NAME, "changed places")
def the_same_twice(n, d):
    return 2 / d, 2 / d


@wrong(NAME, "Two results are asked for")
def only_the_sum(n, d):
    return (n + 1) / d


@wrong(NAME, "must be a number")
def as_words(n, d):
    return "2/d", "(n-1)/d"
