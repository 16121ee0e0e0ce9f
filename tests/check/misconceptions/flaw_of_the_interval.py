import torch

from . import right, wrong

NAME = "flaw_of_the_interval"


@right(NAME)
def as_asked():
    return 5, "C"


@right(NAME)
def as_text():
    return "5", " c "


@right(NAME)
def as_a_list():
    return [5, "c"]


def answers(line, reason):
    def answer():
        return line, reason

    answer.__name__ = f"line_{line}_reason_{reason}"
    return answer


for line, said in {
    1: "the rate that suits it",
    2: "share first weights",
    3: "only measures",
    4: "subtracts what belongs together",
    6: "only reads the interval",
}.items():
    for reason in "ABCDE":
        wrong(NAME, said)(answers(line, reason))

for reason, said in {
    "A": "One rate for both",
    "B": "on validation documents",
    "D": "it cancels",
    "E": "asks for no normal distribution",
}.items():
    wrong(NAME, said)(answers(5, reason))


@wrong(NAME, "The line must be one of 1, 2, 3, 4, 5, 6")
def the_other_way_round():
    return "C", 5


@wrong(NAME, "The line must be one of")
def no_such_line():
    return 7, "C"


@wrong(NAME, "The reason must be one of A, B, C, D, E")
def no_such_reason():
    return 5, "F"


@wrong(NAME, "The reason must be one of")
def in_words():
    return 5, "the windows are not independent"


@wrong(NAME, "The line must be one of")
def a_tensor():
    return torch.tensor(5), "C"


@wrong(NAME, "Two results are asked for")
def the_line_alone():
    return 5
