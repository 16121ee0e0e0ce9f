"""Wrong meta-gradients: tokens that are taken for the same or for nothing, rates and patches with a hidden scale."""

from helpers.homework.bugs import bug

BUGS = (
    bug(
        "twice is once",
        "Demonstration tokens that are equal count once: every token adds its outer product, so one that is read "
        "twice writes twice. A token that is repeated shows it.",
        """
        def meta_gradient(w_v, w_k, demos):
            tokens = torch.unique(demos, dim=0)
            values, keys = tokens @ w_v.T, tokens @ w_k.T
            return values.T @ keys
        """,
    ),
    bug(
        "padding",
        "A token with a 0 anywhere is taken for padding and left out: only a token that is 0 everywhere writes "
        "nothing. A token like (1, 0) shows it.",
        """
        def meta_gradient(w_v, w_k, demos):
            real = (demos != 0).all(1)
            demos = demos[real]
            return torch.einsum("nm,nd->md", demos @ w_v.T, demos @ w_k.T)
        """,
    ),
    bug(
        "last 32",
        "Only the last 32 tokens write: relaxed attention has no window, ΔW is the sum over all of them. More than 32 "
        "tokens show it.",
        """
        def meta_gradient(w_v, w_k, demos):
            values, keys = demos @ w_v.T, demos @ w_k.T
            update = torch.zeros(len(w_v), len(w_k), dtype=demos.dtype)
            for value, key in zip(values[-32:], keys[-32:], strict=True):
                update = update + torch.outer(value, key)
            return update
        """,
    ),
    bug(
        "seen already",
        "A demonstration token that also stands in the query's own text is left out of the update: the two sums know "
        "nothing of each other, it belongs in both. A token that both texts share shows it.",
        """
        def icl_decomposition(w_v, w_k, demos, context, query):
            new = (demos[:, None] != context).any(-1).all(1)
            demos = demos[new]
            zero_shot = (context @ w_v.T).T @ (context @ w_k.T @ query)
            update = (demos @ w_v.T).T @ (demos @ w_k.T @ query)
            return zero_shot, update
        """,
    ),
    bug(
        "trust region",
        "An update more than 10,000 times as long as the zero-shot part is scaled down: nothing ties the two together. "
        "A context that says nothing (of zeros, or at right angles to the query) shows it: the update becomes 0.",
        """
        def icl_decomposition(w_v, w_k, demos, context, query):
            zero_shot = (context @ w_v.T).T @ (context @ w_k.T @ query)
            update = (demos @ w_v.T).T @ (demos @ w_k.T @ query)
            most = 1e4 * zero_shot.norm()
            if update.norm() > most:
                update = update * (most / update.norm())
            return zero_shot, update
        """,
    ),
    bug(
        "unused inputs",
        "Queries and keys look only at entries of x that W₀ uses: what is compared is x_j with x, whatever W₀ is. A "
        "column of zeros in W₀ shows it; with W₀ = 0, the usual start, nothing is learned at all.",
        """
        def gd_as_attention(w0, lr):
            m, d = w0.shape
            looks, values = (torch.zeros(d + m, d + m, dtype=w0.dtype) for _ in range(2))
            looks[:d, :d] = torch.diag(w0.any(0).to(w0.dtype))
            values[d:, :d], values[d:, d:] = w0, -torch.eye(m)
            return {"w_q": looks, "w_k": looks, "w_v": values, "p": lr * torch.eye(d + m, dtype=w0.dtype)}
        """,
    ),
    bug(
        "rate over rate",
        "The rate is squared in P and divided out of the values: at lr = 0, where the layer must leave W₀x as it is, "
        "0 · ∞ is no number. lr = 0 shows it.",
        """
        def gd_as_attention(w0, lr):
            m, d = w0.shape
            unit = torch.eye(d + m, dtype=w0.dtype)
            looks, values = unit.clone(), torch.zeros_like(unit)
            looks[d:] = 0
            values[d:, :d], values[d:, d:] = w0 / lr, -unit[:m, :m] / lr
            return {"w_q": looks, "w_k": looks, "w_v": values, "p": lr**2 * unit}
        """,
    ),
    bug(
        "nothing to learn",
        "Tasks with the answer 0 are left out: their predictions p are not 0, and a rate that is too high is wrong on "
        "them too; they belong below the line. A task with y = 0 shows it.",
        """
        def best_step_size(inputs, targets, x, y):
            p = torch.einsum("bn,bnd,bd->b", targets, inputs, x)
            told = y != 0
            p, y = p[told], y[told]
            return ((y * p).sum() / (p * p).sum()).item()
        """,
    ),
    bug(
        "safe rate",
        "1e-15 is added below the line, against a division by zero: with inputs of a thousandth all p² together are "
        "smaller, and the rate, which must be huge there, comes out near 0.",
        """
        def best_step_size(inputs, targets, x, y):
            scores = (inputs @ x[:, :, None])[..., 0]
            p = (targets * scores).sum(1)
            slope, curve = (y * p).sum(), (p * p).sum()
            return (slope / (curve + 1e-15)).item()
        """,
    ),
    bug(
        "stretched",
        "Where `after` is a multiple of `before` all of W is scaled: (W + ΔW) before = W after holds, but the patch "
        "also moves all that is at right angles to `before`, so that it is neither of rank one nor the least.",
        """
        def rank_one_patch(w, before, after):
            times = (after @ before) / (before @ before)
            if torch.equal(after, times * before):
                return (times - 1) * w
            return torch.outer(w @ (after - before), before) / (before @ before)
        """,
    ),
    bug(
        "safe length",
        "1e-15 is added to ‖before‖², against a division by zero: a `before` of length 1e-8 has a smaller square than "
        "that, and the patch does hardly anything.",
        """
        def rank_one_patch(w, before, after):
            moved = w @ (after - before)
            length = before.square().sum() + 1e-15
            return moved[:, None] * (before / length)
        """,
    ),
    bug(
        "nothing to move",
        "Where one entry of `before` and `after` is the same it is left out of the patch: the second factor is all of "
        "`before`, also where nothing changes, or the patch is too weak and not the least. One equal entry shows it.",
        """
        def rank_one_patch(w, before, after):
            changed = before != after
            along = torch.where(changed, before, 0.0)
            return torch.outer(w @ (after - before), along) / (before @ before)
        """,
    ),
)
