"""The real GPT on real sentences: the fast way is the plain way, a prompt helps, and the model stays what it was."""

from dataclasses import replace

import pytest
import torch
from tiny import plain_scores

from helpers import gpt, icl, metrics, tasks

pytestmark = pytest.mark.real


@pytest.mark.parametrize(("name", "shots", "queries"), [("mr", 32, 4), ("source-letters", 8, 8), ("past", 16, 12)])
def test_packed_is_plain(real, name, shots, queries):
    """Same decisions, scores within 1e-4, against one whole forward pass for every answer."""
    task = tasks.load(name, shots=shots, queries=queries)
    for demos, way in ((True, icl.in_context), (False, icl.zero_shot)):
        fast, slow = way(real, task), plain_scores(real, task, demos)
        best = torch.stack(slow) if task.labels else torch.stack([row.max()[None] for row in slow])
        torch.testing.assert_close(fast.scores, best, atol=1e-4, rtol=0)
        if task.labels:
            assert fast.right.tolist() == (best.argmax(1) == fast.gold).tolist()


def test_free_answers_are_what_the_model_writes(real):
    task = tasks.load("past", shots=16, queries=10)
    shown = [(demo.text, demo.label) for demo in task.demos]
    prompts = [icl.build_prompt(task.template, shown, query.text) for query in task.queries]
    said = [gpt.complete(real, prompt, 8).split("\n")[0].strip() for prompt in prompts]
    right = [word in query.answers for word, query in zip(said, task.queries, strict=True)]
    assert icl.in_context(real, task).right.tolist() == right


def test_a_prompt_is_tokenised_in_pieces_as_it_would_be_whole(real):
    for name in tasks.TASKS:
        task = tasks.load(name, shots=4, queries=3)
        shown = [(demo.text, demo.label) for demo in task.demos]
        for query in task.queries:
            whole = icl.build_prompt(task.template, shown, query.text)
            assert icl.prompt_ids(real, task, query) == real.bos + real.encode(whole)


def test_a_prompt_helps_and_the_model_has_not_changed(real):
    before = real.fingerprint()
    task = tasks.load("past", shots=16, queries=50)
    few, none = icl.in_context(real, task), icl.zero_shot(real, task)
    tuned = icl.finetuned(real, replace(task, queries=task.queries[:5]), lr=0.01)
    low, _ = metrics.bootstrap_interval((few.right.float() - none.right.float()).numpy())
    assert low > 0.3
    assert tuned.scores.shape == (5, 1)
    assert real.fingerprint() == before
