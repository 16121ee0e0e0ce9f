"""Token ids of the pieces of a text, such that joined they are the ids of the whole text."""

from collections.abc import Sequence
from itertools import accumulate, chain

from helpers.gpt.loading import GPT

Ids = list[int]


def encode_pieces(model: GPT, texts: Sequence[Sequence[str]]) -> list[list[Ids]]:
    """Token ids of every text's pieces: each encoded apart if that makes the ids of the whole, else the whole is cut.

    SentencePiece, as in Llama 2, puts a space before whatever it encodes: pieces apart would have one each.
    """
    apart = {piece: model.encode(piece) for piece in dict.fromkeys(chain(*texts))}
    encoded = []
    for pieces in texts:
        ids, whole = [apart[piece] for piece in pieces], model.encode("".join(pieces))
        encoded.append(ids if list(chain(*ids)) == whole else _cut(model, pieces))
    return encoded


def _cut(model: GPT, pieces: Sequence[str]) -> list[Ids]:
    """The tokens of the whole text, each given to the piece that it lies in."""
    if not model.tokenizer.is_fast:
        raise _one_token(model, "it doesn't tell which characters a token is")
    text, ends, ids = "".join(pieces), list(accumulate(map(len, pieces))), [[] for _ in pieces]
    whole = model.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    for token, (start, end) in zip(whole.input_ids, whole.offset_mapping, strict=True):
        piece = sum(stop <= start for stop in ends[:-1])
        if end > ends[piece]:
            raise _one_token(model, f"{text[start:end]!r} is one token")
        ids[piece].append(token)
    return ids


def encode_prompts(
    model: GPT, prefix: str, queries: list[str], answers: list[list[str]]
) -> tuple[Ids, list[Ids], list[list[Ids]]]:
    """Token ids of a BOS and the prefix that all queries share, of every query, and of every query's answers.

    ValueError where joined they can't be those of the whole text, or are more than the model reads.
    """
    texts = [[prefix, query, answer] for query, options in zip(queries, answers, strict=True) for answer in options]
    encoded = iter(encode_pieces(model, texts))
    ids = [[next(encoded) for _ in options] for options in answers]
    shared, own = ids[0][0][0], [options[0][1] for options in ids]
    if any(start != [shared, query] for options, query in zip(ids, own, strict=True) for *start, _ in options):
        raise _one_token(model, "what stands before depends on what follows")
    longest = max(sum(map(len, pieces)) for options in ids for pieces in options) + len(model.bos)
    if model.context and longest > model.context:
        raise ValueError(
            f"The longest prompt has {longest} tokens, {model.name} reads {model.context}.\n"
            "Load the task with fewer shots, or shorter texts."
        )
    return model.bos + shared, own, [[answer for *_, answer in options] for options in ids]


def _one_token(model: GPT, reason: str) -> ValueError:
    return ValueError(
        f"The tokenizer of {model.name} joins demonstrations, query and answer, which stay apart here: {reason}.\n"
        "Change the template, so that a new line or a space stands where they meet."
    )
