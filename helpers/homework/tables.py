"""A small made-up study, drawn for a student, and eight sentences that one may or may not conclude from it.

Standard library only: a copy lies in every student's bundle, side by side with `draws.py`, `studies.py`
and `sentences.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

if __package__:
    from . import draws
    from .sentences import LETTERS, Sentence, draw_sentences
    from .studies import GUESS, THEMES, Row, Study, draw_study
else:
    import draws
    from sentences import LETTERS, Sentence, draw_sentences
    from studies import GUESS, THEMES, Row, Study, draw_study


@dataclass(frozen=True)
class Table:
    """What the student sees."""

    study: Study
    drawn: tuple[Sentence, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """Names, means, intervals, n."""
        return self.study.rows

    @property
    def sentences(self) -> dict[str, str]:
        """The eight sentences, by letter."""
        return {letter: sentence.text() for letter, sentence in self.by_letter().items()}

    def by_letter(self) -> dict[str, Sentence]:
        """What the sentences are made of."""
        return dict(zip(LETTERS, self.drawn, strict=True))

    def text(self) -> str:
        """The study in Markdown, without the sentences."""
        study, theme = self.study, self.study.theme
        same = f"the very {theme.units} and {theme.queries} that are counted here"
        other = f"other {theme.units} with other {theme.queries}, before those counted here were looked at"
        chosen = other if study.chosen_elsewhere else same
        about = (
            f"{theme.about} Done with {theme.model}: {study.n} {theme.units}, each with {study.asked} {theme.queries} "
            f"of its own. There are four answers, so guessing gives {GUESS / 10:.1f} per cent. The best {theme.choice} "
            f"was chosen on {chosen}. 95 % intervals are over the {study.n} {theme.units}; differences are paired."
        )
        head = f"**{theme.title}.** *Made-up numbers, drawn for you: nobody ran this study.*"
        first = _lines("right answers, per cent", study.rows, "")
        return "\n".join([head, "", about, "", *first, "", *_lines("percentage points", study.differences, "+")])

    def page(self) -> str:
        """The study in Markdown, with the sentences."""
        return "\n".join([self.text(), "", *(f"- **{letter}.** {text}" for letter, text in self.sentences.items())])


def table(term: str, assignment: str, student: str) -> Table:
    """The table of this student."""
    by = draws.rng(term, assignment, student, "table")
    drawn = ()
    while len(drawn) < len(LETTERS):
        study = draw_study(THEMES.get(assignment, THEMES["04"]), by)
        drawn = tuple(draw_sentences(study, by))
    return Table(study, drawn)


def _lines(head: str, rows: Iterable[Row], sign: str) -> list[str]:
    numbers = "{0.mean:{1}.1f} | {0.low:{1}.1f} to {0.high:{1}.1f} | {0.n} |"
    shown = (f"| {row.name} | {numbers.format(row, sign).replace('-', '−')}" for row in rows)
    return [f"| {head} | mean | 95 % interval | n |", "|---|---|---|---|", *shown]
