from . import right, wrong

NAME = "flaw_of_the_state"


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
    1: "series of the exponential",
    2: "Line 2 is algebra",
    3: "only states an equality",
    4: "with φ(k_i) in place",
    6: "the division needs the two sums",
}.items():
    for reason in "ABCDE":
        wrong(NAME, said)(answers(line, reason))

for reason, said in {
    "A": "converges for every s",
    "B": "It can",
    "D": "comes after they are read",
    "E": "mask costs nothing",
}.items():
    wrong(NAME, said)(answers(5, reason))


@wrong(NAME, "must be one of 1, 2, 3, 4, 5, 6")
def a_line_that_is_not_there():
    return 7, "C"


@wrong(NAME, "must be one of A, B, C, D, E")
def a_reason_in_words():
    return 5, "φ is infinite"


@wrong(NAME, "Two results are asked for")
def the_line_alone():
    return 5
