import torch

from . import right, wrong

NAME = "icl_decomposition"


def read(w_v, w_k, tokens, query):
    return sum((w_v @ x) * torch.dot(w_k @ x, query) for x in tokens)


@right(NAME)
def one_token_at_a_time(w_v, w_k, demos, context, query):
    return read(w_v, w_k, context, query), read(w_v, w_k, demos, query)


@right(NAME)
def two_matrices(w_v, w_k, demos, context, query):
    from helpers.dual import meta_gradient

    return [meta_gradient(w_v, w_k, tokens) @ query for tokens in (context, demos)]


@right(NAME)
def two_linear_attentions(w_v, w_k, demos, context, query):
    from helpers.attention import linear_attention

    def last(tokens):
        return linear_attention(query.expand(len(tokens), -1), tokens @ w_k.T, tokens @ w_v.T)[-1]

    return last(context), last(demos)


@right(NAME)
def what_the_demonstrations_add(w_v, w_k, demos, context, query):
    """The update as a difference: attention to everything, less attention to the context."""

    def attend(tokens):
        return torch.einsum("me,ie,i->m", w_v, tokens, tokens @ (w_k.T @ query))

    zero_shot = attend(context)
    return zero_shot, attend(torch.cat([demos, context])) - zero_shot


@right(NAME)
def scores_first(w_v, w_k, demos, context, query):
    return w_v @ (context.T @ (context @ (w_k.T @ query))), w_v @ (demos.T @ (demos @ (w_k.T @ query)))


@wrong(NAME, "changed places")
def update_first(w_v, w_k, demos, context, query):
    return read(w_v, w_k, demos, query), read(w_v, w_k, context, query)


@wrong(NAME, "Zero-shot sees the demonstrations")
def everything_is_zero_shot(w_v, w_k, demos, context, query):
    return read(w_v, w_k, torch.cat([demos, context]), query), read(w_v, w_k, demos, query)


@wrong(NAME, "This is the sum")
def in_context_for_update(w_v, w_k, demos, context, query):
    return read(w_v, w_k, context, query), read(w_v, w_k, [*context, *demos], query)


@wrong(NAME, "Both parts come from `context`")
def copied_line(w_v, w_k, demos, context, query):
    zero_shot = read(w_v, w_k, context, query)
    return zero_shot, zero_shot.clone()


@wrong(NAME, "The sign")
def what_is_taken_away(w_v, w_k, demos, context, query):
    return read(w_v, w_k, context, query), -read(w_v, w_k, demos, query)


@wrong(NAME, "difference of the two")
def update_relative_to_zero_shot(w_v, w_k, demos, context, query):
    zero_shot = read(w_v, w_k, context, query)
    return zero_shot, read(w_v, w_k, demos, query) - zero_shot


@wrong(NAME, "let it act on the query")
def matrices(w_v, w_k, demos, context, query):
    return tuple(w_v @ tokens.T @ tokens @ w_k.T for tokens in (context, demos))


@wrong(NAME, "relaxed attention has none")
def softmax_without_scale(w_v, w_k, demos, context, query):
    return tuple(torch.softmax(t @ w_k.T @ query, 0) @ (t @ w_v.T) for t in (context, demos))


@wrong(NAME, "drop the softmax and the √d")
def softmax_for_the_update(w_v, w_k, demos, context, query):
    weights = torch.softmax(demos @ w_k.T @ query / query.shape[0] ** 0.5, 0)
    return read(w_v, w_k, context, query), weights @ demos @ w_v.T


@wrong(NAME, "no scale")
def scaled(w_v, w_k, demos, context, query):
    return tuple(read(w_v, w_k, t, query / len(query) ** 0.5) for t in (context, demos))


@wrong(NAME, "not a mean")
def averaged(w_v, w_k, demos, context, query):
    return read(w_v, w_k, context, query), read(w_v, w_k, demos, query) / demos.shape[0]


@wrong(NAME, "Two results are asked for")
def their_sum(w_v, w_k, demos, context, query):
    return read(w_v, w_k, context, query) + read(w_v, w_k, demos, query)


@wrong(NAME, "One softmax runs over both texts")
def one_softmax_split_in_two(w_v, w_k, demos, context, query):
    tokens = torch.cat([demos, context])
    weighed = torch.softmax(tokens @ w_k.T @ query, 0)[:, None] * (tokens @ w_v.T)
    return weighed[len(demos) :].sum(0), weighed[: len(demos)].sum(0)
