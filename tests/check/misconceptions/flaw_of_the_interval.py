import torch

from . import right, wrong

NAME = "flaw_of_the_interval"


@right(NAME)
def as_asked():
    return 5, "D"


@right(NAME)
def as_text():
    return "5", " d "


@right(NAME)
def as_a_list():
    return [5, "d"]


@wrong(NAME, "the rate that suits it")
def rates_apart():
    return 1, "A"


@wrong(NAME, "share first weights")
def shared_batches():
    return 2, "C"


@wrong(NAME, "only measures")
def the_same_windows():
    return 3, "D"


@wrong(NAME, "subtracts what belongs together")
def paired():
    return 4, "C"


@wrong(NAME, "only reads the interval")
def concluded():
    return 6, "D"


@wrong(NAME, "One rate for both")
def two_things_differ():
    return 5, "A"


@wrong(NAME, "on validation documents")
def looked_at_twice():
    return 5, "B"


@wrong(NAME, "it cancels")
def not_to_be_subtracted():
    return 5, "C"


@wrong(NAME, "asks for no normal distribution")
def not_normal():
    return 5, "E"


@wrong(NAME, "The line must be one of 1, 2, 3, 4, 5, 6")
def the_other_way_round():
    return "D", 5


@wrong(NAME, "The line must be one of")
def no_such_line():
    return 7, "D"


@wrong(NAME, "The reason must be one of A, B, C, D, E")
def no_such_reason():
    return 5, "F"


@wrong(NAME, "The reason must be one of")
def in_words():
    return 5, "the windows are not independent"


@wrong(NAME, "The line must be one of")
def a_tensor():
    return torch.tensor(5), "D"


@wrong(NAME, "Two results are asked for")
def the_line_alone():
    return 5
