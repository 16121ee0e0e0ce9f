from . import right, wrong

NAME = "lower_loss"


@right(NAME)
def a_tuple():
    return 4, "B"


@right(NAME)
def both_as_text():
    return "4", "b"


@right(NAME)
def a_list():
    return [4, " B "]


@wrong(NAME, "Line 1 is (eq. 3.3)")
def line_1():
    return 1, "D"


@wrong(NAME, "Line 2 holds")
def line_2():
    return 2, "C"


@wrong(NAME, "Line 3 holds")
def line_3():
    return 3, "A"


@wrong(NAME, "Line 5 holds")
def line_5():
    return 5, "C"


@wrong(NAME, "no valley that a long step could miss")
def reason_a():
    return 4, "A"


@wrong(NAME, "Σ v_i ⊗ k_i holds no W")
def reason_c():
    return 4, "C"


@wrong(NAME, "it breaks no line")
def reason_d():
    return 4, "D"


@wrong(NAME, "The line must be one of 1, 2, 3, 4, 5")
def counted_from_0():
    return 0, "B"


@wrong(NAME, "Two results are asked for")
def the_line_alone():
    return 4


@wrong(NAME, "The reason must be one of A, B, C, D")
def in_words():
    return 4, "L has no minimum"
