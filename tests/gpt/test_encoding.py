"""Token ids of a prompt's pieces are those of the whole text, also where a tokenizer makes pieces apart otherwise."""

from dataclasses import replace
from itertools import chain

import pytest
from tiny import byte_tokenizer, tiny
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import ByT5Tokenizer, PreTrainedTokenizerFast

from helpers import icl
from helpers.gpt import GPT
from helpers.tasks import Example, Task, Template


def with_tokenizer(tokenizer):
    return GPT(tiny("llama", None).network, tokenizer, "tiny llama")


def wrapped(tokenizer):
    return with_tokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>"))


@pytest.fixture
def sentencepiece():
    """Like Llama 2's and Mistral's first: a space goes before whatever is encoded."""
    vocabulary = ["<unk>", "<s>", "▁", "\n", "a", "b", "▁a", "▁b"]
    tokenizer = Tokenizer(
        models.BPE({word: i for i, word in enumerate(vocabulary)}, [("▁", "a"), ("▁", "b")], unk_token="<unk>")
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return wrapped(tokenizer)


def byte_pairs(*merges, split=True):
    """A byte-level tokenizer as GPT-2's, with these merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<unk>", "<s>", *letters, *("".join(merge) for merge in merges)]
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, list(merges), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split)
    return wrapped(tokenizer)


def task(pattern="{text}\n{text} {label}", separator="\n", texts=("a", "b", "aa")):
    first, *asked = texts
    demos = (Example(first, "b"), Example(first, "a"))
    return Task("t", Template(pattern, separator), ("a", "b"), demos, tuple(Example(text, "a") for text in asked))


def check(model, task):
    """Prompts and answers, joined, are the whole texts; what all queries share is the same; places are the tokens'."""
    prefix, queries, answers = icl.encode(model, task)
    shown = [(demo.text, demo.label) for demo in task.demos]
    for query, own, options in zip(task.queries, queries, answers, strict=True):
        for label, answer in zip(task.labels, options, strict=True):
            space = icl._query(task.template, query.text)[1]
            text = icl.build_prompt(task.template, shown, query.text) + space + label
            assert prefix + own + answer == model.bos + model.encode(text)
            assert (own, prefix + own) == (icl.query_ids(model, task, query), icl.prompt_ids(model, task, query))
        assert options == icl.answer_ids(model, task, query)
    assert prefix == icl.prefix_ids(model, task)
    assert [prefix[place] for place in icl.demo_places(model, task)] == list(chain(*icl.demo_ids(model, task)))
    return model.tokenizer.convert_ids_to_tokens(prefix)


def test_a_space_before_every_piece_is_not_in_the_prompt(sentencepiece):
    assert check(sentencepiece, task()) == ["<s>", "▁a", "\n", "a", "▁b", "\n", "a", "\n", "a", "▁a", "\n"]
    assert sentencepiece.encode("\n") == [2, 3]  # apart, a new line has the space
    _, queries, _ = icl.encode(sentencepiece, task(texts=("a", "b")))
    assert sentencepiece.tokenizer.convert_ids_to_tokens(queries[0]) == ["b", "\n", "b"]  # after a new line: no space


def test_a_query_alone_begins_with_a_space(sentencepiece):
    prefix, queries, _ = icl.encode(sentencepiece, replace(task(), demos=()))
    assert sentencepiece.tokenizer.convert_ids_to_tokens(prefix + queries[0]) == ["<s>", "▁b", "\n", "b"]


def test_two_new_lines_are_one_token_alone_and_two_before_a_word():
    model = byte_pairs(("Ċ", "Ċ"))
    assert len(model.encode("\n\n")) == 1
    assert check(model, task(separator="\n\n"))[-2:] == ["Ċ", "Ċ"]


def test_pieces_that_make_the_whole_are_left_as_they_are():
    check(with_tokenizer(byte_tokenizer()), task())


@pytest.mark.parametrize(
    ("merge", "pattern"),
    [(("Ċ", "b"), "{text} {label}"), (("b", "Ċ"), "{text} {label}"), (("Ċ", "a"), "{text}\n{label}")],
    ids=["separator and query", "demonstration and separator", "query and answer"],
)
def test_a_token_that_lies_in_two_pieces_is_refused(merge, pattern):
    model, asked = byte_pairs(merge, split=False), task(pattern, texts=("a", "bb", "ab"))
    with pytest.raises(ValueError, match=r"^The tokenizer of tiny llama joins .* is one token\.\n.*\.$"):
        check(model, asked)


def test_demonstrations_that_depend_on_the_query_are_refused():
    """Before "bb" the last new line joins the one before it or not, as the query has it: the prefix is not shared."""
    model = byte_pairs(("Ċ", "Ċ"))
    with pytest.raises(ValueError, match=r"joins .*(is one token|depends on what follows)\.\n.*\.$"):
        check(model, task("{text}{label}", "\n\n", ("a", "bb", "\nb")))


class Opening(ByT5Tokenizer):
    """A tokenizer in Python, which doesn't tell where tokens stand, and marks where a text begins."""

    def _tokenize(self, text):
        return [" ", *super()._tokenize(text)]


def test_a_tokenizer_without_offsets_is_refused_only_where_pieces_differ():
    with pytest.raises(ValueError, match=r"joins .*which characters a token is\.\n.*\.$"):
        check(with_tokenizer(Opening(bos_token="<s>")), task())
    check(with_tokenizer(ByT5Tokenizer(bos_token="<s>")), task())
