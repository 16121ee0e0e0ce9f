from . import right, wrong

NAME = "flaw_of_the_influence"


@right(NAME)
def as_asked():
    return 4, "B"


@right(NAME)
def as_text():
    return " 4 ", "b"


@right(NAME)
def as_a_list():
    return ["4", " B"]


def answers(line, reason):
    def answer():
        return line, reason

    answer.__name__ = f"line_{line}_reason_{reason}"
    return answer


for line, said in {
    1: "training as in section 4",
    2: "with W₀'s part the shares sum",
    3: "only sorts",
    5: "holds for the matrix that it is given",
    6: "Look further up",
}.items():
    for reason in "ABCDE":
        wrong(NAME, said)(answers(line, reason))

for reason, said in {
    "A": "drops out of a difference",
    "C": "the sign has to count",
    "D": "tests the typing alone",
    "E": "how large the effect is",
}.items():
    wrong(NAME, said)(answers(4, reason))

wrong(NAME, "The line must be one of")(answers("four", "B"))
wrong(NAME, "The reason must be one of")(answers(4, "the others' errors"))


@wrong(NAME, "Two results are asked for")
def the_line_alone():
    return 4
