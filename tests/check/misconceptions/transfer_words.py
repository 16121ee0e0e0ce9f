from . import right, wrong

NAME = "transfer_words"


@right(NAME)
def in_one_line(answers, shown, patched):
    return [word for word in answers if word not in shown and answers[word] != answers[patched]]


@right(NAME)
def by_running_the_lookup(answers, shown, patched):
    found = []
    for word, answer in answers.items():
        lookup = answers[word] if word in shown else answers[patched]
        if lookup != answer:
            found.append(word)
    return found


@right(NAME)
def sets(answers, shown, patched):
    lucky = {word for word in answers if answers[word] == answers[patched]}
    return sorted(set(answers) - set(shown) - lucky, reverse=True)


@right(NAME)
def a_tuple(answers, shown, patched):
    return tuple(w for w, a in answers.items() if not (w in shown or w == patched or a == answers[patched]))


@wrong(NAME, "itself is tested")
def everything(answers, shown, patched):
    return list(answers)


@wrong(NAME, "itself is tested")
def not_the_prompt(answers, shown, patched):
    return [word for word in answers if word not in shown]


@wrong(NAME, "Words of the prompt are tested")
def not_the_answer(answers, shown, patched):
    return [word for word in answers if answers[word] != answers[patched]]


@wrong(NAME, "Words of the prompt are tested")
def only_the_prompt(answers, shown, patched):
    return [word for word in shown if word != patched]


@wrong(NAME, "by luck")
def same_answer(answers, shown, patched):
    return [word for word in answers if word not in shown and word != patched]


@wrong(NAME, "is left out")
def the_first_one(answers, shown, patched):
    return [word for word in answers if word not in shown and answers[word] != answers[patched]][:1]


@wrong(NAME, "is left out")
def all_but_one(answers, shown, patched):
    return in_one_line(answers, shown, patched)[:-1] or in_one_line(answers, shown, patched)


@wrong(NAME, "The test is empty")
def nothing(answers, shown, patched):
    return []


@wrong(NAME, "twice")
def doubled(answers, shown, patched):
    return in_one_line(answers, shown, patched) * 2


@wrong(NAME, "each one of the keys of `answers`")
def pairs(answers, shown, patched):
    return [(word, answers[word]) for word in in_one_line(answers, shown, patched)]


@wrong(NAME, "each one of the keys of `answers`")
def a_set(answers, shown, patched):
    return set(in_one_line(answers, shown, patched))


@wrong(NAME, "each one of the keys of `answers`")
def the_answers(answers, shown, patched):
    return [answers[word] for word in in_one_line(answers, shown, patched)]
