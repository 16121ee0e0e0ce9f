import torch

from . import right, wrong

NAME = "recurrent_linear_attention"


def loop(q, k, v, write=torch.outer, read=lambda s, q, k: s @ q):
    state, out = q.new_zeros(v.shape[1], q.shape[1]), []
    for t in range(len(q)):
        state = state + write(v[t], k[t])
        out.append(read(state, q[t], k[t]))
    return torch.stack(out), state


@right(NAME)
def all_states_at_once(q, k, v):
    states = (v[:, :, None] * k[:, None, :]).cumsum(0)
    return (states @ q[:, :, None]).squeeze(-1), states[-1]


@right(NAME)
def einsum_and_a_table_of_outputs(q, k, v):
    out = torch.empty(q.shape[0], v.shape[1], dtype=q.dtype)
    state = torch.zeros(v.shape[1], k.shape[1], dtype=q.dtype)
    for t in range(q.shape[0]):
        state += torch.einsum("m,d->md", v[t], k[t])
        out[t] = torch.einsum("md,d->m", state, q[t])
    return out, state


@right(NAME)
def a_list_for_a_pair(q, k, v):
    state, out = 0.0, []
    for query, key, value in zip(q, k, v, strict=True):
        state = state + value.unsqueeze(1) * key.unsqueeze(0)
        out.append(state.mv(query))
    return [torch.stack(out), state]


@wrong(NAME, "Read before it was written")
def reads_first(q, k, v):
    state, out = q.new_zeros(v.shape[1], q.shape[1]), []
    for t in range(len(q)):
        out.append(state @ q[t])
        state = state + torch.outer(v[t], k[t])
    return torch.stack(out), state


@wrong(NAME, "replaced, not added to")
def overwrites(q, k, v):
    out = []
    for t in range(len(q)):
        state = torch.outer(v[t], k[t])
        out.append(state @ q[t])
    return torch.stack(out), state


@wrong(NAME, "final state")
def reads_at_the_end(q, k, v):
    state = sum(torch.outer(value, key) for value, key in zip(v, k, strict=True))
    return torch.stack([state @ query for query in q]), state


@wrong(NAME, "v_t and q_t")
def writes_queries(q, k, v):
    return loop(q, q, v)


@wrong(NAME, "Read with the key")
def reads_with_keys(q, k, v):
    return loop(q, k, v, read=lambda state, query, key: state @ key)


@wrong(NAME, "transposed")
def state_on_its_side(q, k, v):
    out, state = loop(q, k, v)
    return out, state.T.clone()


@wrong(NAME, "changed places")
def state_first(q, k, v):
    out, state = loop(q, k, v)
    return state, out


@wrong(NAME, "Two results are asked for")
def outputs_only(q, k, v):
    return loop(q, k, v)[0]


@wrong(NAME, "last token is missing")
def state_before_the_last(q, k, v):
    return loop(q, k, v)[0], loop(q[:-1], k[:-1], v[:-1])[1] if len(q) > 1 else torch.zeros(
        v.shape[1], q.shape[1]
    ).double()


@wrong(NAME, "times the work")
def the_parallel_form_again(q, k, v):
    return (q @ k.T).tril() @ v, v.T @ k


@wrong(NAME, "times the work")
def looks_at_all_earlier_tokens_again(q, k, v):
    return torch.stack([(k[: t + 1] @ q[t]) @ v[: t + 1] for t in range(len(q))]), v.T @ k
