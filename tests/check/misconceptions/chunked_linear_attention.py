import torch

from . import right, wrong

NAME = "chunked_linear_attention"


def pieces(q, k, v, chunk):
    return zip(q.split(chunk), k.split(chunk), v.split(chunk), strict=True)


@right(NAME)
def slices(q, k, v, chunk):
    out, state = [], torch.zeros(k.shape[1], v.shape[1], dtype=q.dtype)
    for start in range(0, len(q), chunk):
        a, b, c = (x[start : start + chunk] for x in (q, k, v))
        out.append(a @ state + torch.tril(a @ b.T) @ c)
        state = state + b.T @ c
    return torch.cat(out)


@right(NAME)
def padded_and_batched(q, k, v, chunk):
    n = len(q)
    q, k, v = (torch.nn.functional.pad(x, (0, 0, 0, -n % chunk)).reshape(-1, chunk, x.shape[1]) for x in (q, k, v))
    written = torch.einsum("cim,cid->cmd", v, k)
    before = torch.cumsum(written, 0) - written
    out = torch.einsum("cmd,ctd->ctm", before, q) + torch.tril(torch.einsum("ctd,cid->cti", q, k)) @ v
    return out.reshape(-1, v.shape[-1])[:n]


@right(NAME)
def with_the_exercise_before(q, k, v, chunk):
    from helpers.attention import linear_attention

    state, out = q.new_zeros(v.shape[1], q.shape[1]), []
    for a, b, c in pieces(q, k, v, chunk):
        out += [linear_attention(a, b, c) + a @ state.T]
        state = state + c.T @ b
    return torch.vstack(out)


@wrong(NAME, "forgotten")
def forgets(q, k, v, chunk):
    return torch.cat([torch.tril(a @ b.T) @ c for a, b, c in pieces(q, k, v, chunk)])


@wrong(NAME, "counts twice")
def writes_before_reading(q, k, v, chunk):
    out, state = [], 0
    for a, b, c in pieces(q, k, v, chunk):
        state = state + b.T @ c
        out.append(a @ state + torch.tril(a @ b.T) @ c)
    return torch.cat(out)


@wrong(NAME, "Only the chunk just before")
def short_memory(q, k, v, chunk):
    out, state = [], q.new_zeros(q.shape[1], v.shape[1])
    for a, b, c in pieces(q, k, v, chunk):
        out.append(a @ state + torch.tril(a @ b.T) @ c)
        state = b.T @ c
    return torch.cat(out)


@wrong(NAME, "Inside a chunk there is no mask")
def no_mask(q, k, v, chunk):
    out, state = [], q.new_zeros(q.shape[1], v.shape[1])
    for a, b, c in pieces(q, k, v, chunk):
        out.append(a @ state + a @ b.T @ c)
        state = state + b.T @ c
    return torch.cat(out)


@wrong(NAME, "own chunk are missing")
def only_the_state(q, k, v, chunk):
    out, state = [], q.new_zeros(q.shape[1], v.shape[1])
    for a, b, c in pieces(q, k, v, chunk):
        out.append(a @ state)
        state = state + b.T @ c
    return torch.cat(out)


@wrong(NAME, "doesn't see itself")
def strict_mask(q, k, v, chunk):
    out, state = [], q.new_zeros(q.shape[1], v.shape[1])
    for a, b, c in pieces(q, k, v, chunk):
        out.append(a @ state + torch.tril(a @ b.T, -1) @ c)
        state = state + b.T @ c
    return torch.cat(out)


@wrong(NAME, "mind the last, shorter chunk")
def drops_the_rest(q, k, v, chunk):
    whole = max(len(q) // chunk, 1) * chunk
    return slices(q[:whole], k[:whole], v[:whole], chunk)


@wrong(NAME, "times the work")
def no_chunks(q, k, v, chunk):
    return torch.tril(q @ k.T) @ v


@wrong(NAME, "all tokens at once")
def no_chunks_either(q, k, v, chunk):
    state, out = q.new_zeros(v.shape[1], q.shape[1]), []
    for t in range(len(q)):
        state = state + torch.outer(v[t], k[t])
        out.append(state @ q[t])
    return torch.stack(out)


@wrong(NAME, "`recurrent_linear_attention`")
def the_courses_recurrence(q, k, v, chunk):
    from helpers import attention

    return attention.recurrent_linear_attention(q, k, v)[0]


@wrong(NAME, "times the work")
def chunks_of_queries_only(q, k, v, chunk):
    ends = [(start, min(start + chunk, len(q))) for start in range(0, len(q), chunk)]
    return torch.cat([torch.tril(q[a:b] @ k[:b].T, diagonal=a) @ v[:b] for a, b in ends])


@wrong(NAME, "`chunk` makes no difference")
def a_chunk_of_its_own_choice(q, k, v, chunk):
    return slices(q, k, v, 16)
