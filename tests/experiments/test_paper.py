"""The paper at full size, in small: its data sets and its model's files from a hub on this machine, one cell measured.

The texts are made up; repositories, commits, file names, columns and the numbers of labels are those of the real ones.
"""

import io
import json
import os
import random
import subprocess
import sys
from dataclasses import replace

import fairseq
import numpy as np
import pandas as pd
import pytest
import torch
from hub_server import Hub
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from transformers import XGLMConfig, XGLMForCausalLM

from helpers import DEFAULT_MODEL, gpt, icl, metrics
from helpers.experiments import agreement, study
from helpers.experiments.accuracy import marks_and_loss
from helpers.experiments.evidence import paper, paper_cost
from helpers.experiments.evidence.paper import DATA, PAPER
from helpers.support import ROOT, CourseError, hub

COLUMNS = {"sst2": ("sentence",), "cb": ("premise", "hypothesis")}
SIZES, PART = {"train": 60, "validation": 13}, 10  # one part that is full, and one that is not


def frame(task, split):
    rng = random.Random(f"{task} {split}")
    words = [f"w{i}" for i in range(40)]
    rows = [
        {column: " ".join(rng.sample(words, 6)) for column in COLUMNS.get(task, ("text",))}
        | {"label": i % len(DATA[task].labels), "idx": i}
        for i in range(SIZES[split])
    ]
    return pd.DataFrame(rows)


def content(table, file):
    if file.endswith(".jsonl"):
        return table.to_json(orient="records", lines=True).encode()
    written = io.BytesIO()
    table.to_parquet(written)
    return written.getvalue()


@pytest.fixture(scope="module")
def served():
    """A hub with the six data sets at their commits, and the model."""
    running = Hub()
    for task, data in DATA.items():
        files = {
            file: content(frame(task, split), file)
            for split, file in (("train", data.train), ("validation", data.validation))
        }
        running.add("datasets", data.repo, files, data.revision)
        running.large |= {file for file in files if file.endswith(".parquet")}
    running.add("models", fairseq.REPO, fairseq.checkpoint())
    with running.running():
        yield running


@pytest.fixture
def online(served, tmp_path, monkeypatch):
    """The same, allowed to be asked; cache and lock in folders of their own."""
    close_session()
    for name, value in {
        "NO_PROXY": "*",
        "HF_ENDPOINT": served.url,
        "HF_HUB_OFFLINE": "0",
        "COURSE_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "huggingface"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "LOCK", tmp_path / "hub.lock.json")
    served.seen.clear()
    yield served
    close_session()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The tiny model from its files, under the name of the large one."""
    folder = tmp_path_factory.mktemp("fairseq")
    for name, written in fairseq.checkpoint().items():
        (folder / name).write_bytes(written)
    return replace(gpt.load(str(folder)), name="fairseq-1.3b")


CHILD = """
import json, sys
from pathlib import Path
from helpers import gpt
from helpers.experiments import study
from helpers.experiments.evidence import paper
from helpers.support import hub
hub.LOCK, paper.PART = Path(sys.argv[1]), int(sys.argv[2])
model = gpt.load("fairseq-1.3b")
cell = {"task": "cb", "seed": 3}
result = paper.redo(model, **cell)
made = study.provenance(model, paper.PAPER) | result.pop("about")
print(json.dumps({"cell": cell, "result": result, "from": made}))
"""


@pytest.fixture(scope="module")
def line(served, tmp_path_factory):
    """One cell end to end, in a process that knows the hub by its environment alone: what a reader on a GPU runs."""
    home = tmp_path_factory.mktemp("home")
    told = {"HF_ENDPOINT": served.url, "HF_HUB_OFFLINE": "0", "HF_HOME": str(home / "hf"), "NO_PROXY": "*"}
    told |= {"COURSE_CACHE": str(home / "cache"), "PYTHONPATH": str(ROOT)}
    served.befall("HEAD", DATA["cb"].train, {"status": 429, "headers": {"Retry-After": "0"}})
    served.befall("GET", "model.safetensors", {"cut": 5000})
    command = [sys.executable, "-c", CHILD, str(home / "lock.json"), str(PART)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | told)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_cell_end_to_end(line, served):
    result, made = line["result"], line["from"]
    assert {file for method, file, _ in served.seen if method == "GET"} >= {DATA["cb"].train, "model.safetensors"}
    assert made["model"] == "fairseq-1.3b"
    assert made["data"] == f"aps/super_glue@{DATA['cb'].revision}"
    assert made["plan"] == study.plan_hash()
    assert made["code"] == PAPER.code()
    assert (result["lr"], result["reported"], result["diverged"]) == (0.08, True, False)
    assert {len(way["right"]) for way in result["ways"].values()} == {SIZES["validation"]}
    for at in icl.POSITIONS:
        layers = result["layers"][at]
        assert {"sim_aou", "sim_aou raw", "sim_am before", "sim_am after", "kendall"} <= set(layers)
        assert all(len(values) == fairseq.CONFIG["num_layers"] for values in layers.values())
        assert all(abs(value) <= 1 for name in ("sim_aou", "sim_am after", "kendall") for value in layers[name])


def test_the_cell_is_what_the_three_ways_give_on_all_queries_at_once(line, online, model):
    """The same from the files on disk, with no parts: accuracies, Rec2FTP, and the means over the queries."""
    result, task = line["result"], paper.fitted(model, paper.draw("cb", 3))
    assert result["shots"] == len(task.demos)
    for at in icl.POSITIONS:
        look = {"internals": True, "at": at}
        zsl, few = icl.zero_shot(model, task, **look), icl.in_context(model, task, **look)
        tuned = icl.finetuned(model, task, 0.08, **look)
        for way, predicted in (("zero_shot", zsl), ("in_context", few), ("finetuned", tuned)):
            assert agreement.differs(result["ways"][way], marks_and_loss(predicted), PAPER) == ""
        hits, fixed = metrics.rec2ftp_counts(zsl.right, few.right, tuned.right)
        assert result["rec2ftp"]["hits"] == hits
        assert result["rec2ftp"]["fixed"] == fixed
        inside = [p.internals for p in (zsl, few, tuned)]
        h_zsl, h_few, h_tuned = (i.outputs for i in inside)
        expected = metrics.sim_aou(h_few, h_tuned, h_zsl)
        assert result["layers"][at]["sim_aou"] == pytest.approx(expected.tolist(), abs=2e-3)
        expected = metrics.sim_am(inside[1].query_scores, inside[2].query_scores)
        assert result["layers"][at]["sim_am after"] == pytest.approx(expected.tolist(), abs=2e-3)
        first = [t[:PART] for t in (inside[1].demo_scores.sum(2), inside[2].training_attention())]
        assert result["layers"][at]["kendall"] == pytest.approx(metrics.kendall(*first).tolist(), abs=2e-3)


def test_a_recorded_cell_stands_beside_the_papers_numbers(line, tmp_path, monkeypatch):
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    with pytest.raises(CourseError, match="Nothing is recorded"):
        paper.beside_the_paper("fairseq-1.3b")
    PAPER.path.write_text(json.dumps(line) + "\n")
    (shown,) = paper.beside_the_paper("fairseq-1.3b").splitlines()[2:]
    right = line["result"]["ways"]["in_context"]["right"]
    assert f"{100 * right.count('1') / len(right):.3g} (57.1)" in shown
    tau = np.mean(line["result"]["layers"]["first_label"]["kendall"])
    assert f"{tau:.3g} (0.274)" in shown
    assert len(PAPER.missing("fairseq-1.3b")) == 41


WRITTEN = {
    "sst2": ("Sentence: {0} Label:", "Negative Positive"),
    "sst5": ("Sentence: {0} Label:", "terrible bad neutral good great"),
    "mr": ("Review: {0} Sentiment:", "Negative Positive"),
    "subj": ("Input: {0} Type:", "objective subjective"),
    "agnews": (
        "Classify the news articles into the categories of World, Sports, Business, and Technology. News: {0} Type:",
        "World Sports Business Technology",
    ),
    "cb": ("{0} Question: {1} True, False, or Neither? Answer:", "True False Neither"),
}


def test_a_run_with_a_model_of_the_paper_measures_every_cell_and_with_another_none(line, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "FOLDER", tmp_path)
    monkeypatch.setattr(study, "ROOT", tmp_path)
    PAPER.record("fairseq-1.3b", lambda cells: (line | {"cell": cell} for cell in cells))
    assert len(PAPER.path.read_text().splitlines()) == 42
    assert "all 42 cells are recorded" in capsys.readouterr().out
    PAPER.record(DEFAULT_MODEL, lambda cells: pytest.fail("measured"))
    assert "nothing to measure for smollm2-135m" in capsys.readouterr().out


@pytest.mark.parametrize("task", DATA)
def test_a_prompt_is_the_papers_and_its_demonstrations_the_first_of_the_shuffled_training_set(online, task):
    pattern, labels = WRITTEN[task]
    shots = {"agnews": 22, "cb": 19}.get(task, 32)

    def written(row):
        return pattern.format(*(row[column] for column in COLUMNS.get(task, ("text",))))

    drawn = paper.draw(task, 4)
    train, asked = frame(task, "train"), frame(task, "validation")
    shown = train.iloc[np.random.default_rng(4).permutation(60)[:shots]].to_dict("records")
    query = asked.iloc[np.random.default_rng(1).permutation(13)[0]]
    demos = "".join(f"{written(row)} {labels.split()[row['label']]}</s>" for row in shown)
    pairs = [(demo.text, demo.label) for demo in drawn.demos]
    assert icl.build_prompt(drawn.template, pairs, drawn.queries[0].text) == demos + written(query)
    assert drawn.queries[0].label == labels.split()[query.label]
    assert len(drawn.queries) == 13


def test_a_text_of_several_lines_becomes_one():
    row = {"premise": "one\n\ntwo\n", "hypothesis": "three", "label": 1}
    made = paper._example(DATA["cb"], row)
    assert made.text == "one</s>two</s> Question: three True, False, or Neither?"
    assert made.label == "False"


def test_the_end_of_an_example_is_one_token_and_no_demonstration_token(online, model):
    task = paper.fitted(model, paper.draw("mr", 1))
    ids, places = icl.prompt_ids(model, task, task.queries[0]), icl.demo_places(model, task)
    assert ids[0] == fairseq.BOS
    assert ids.count(fairseq.END) == len(task.demos)
    assert {ids[place] for place in places}.isdisjoint({fairseq.BOS, fairseq.END})
    assert len(ids) == len(places) + len(task.demos) + 1 + len(icl.query_ids(model, task, task.queries[0]))


def test_as_many_demonstrations_as_fit(online, model):
    """agnews in bytes is far too long for 22: one more would not fit, and what fits is read."""
    drawn = paper.draw("agnews", 2)
    task = paper.fitted(model, drawn)
    assert 1 < len(task.demos) < len(drawn.demos)
    assert task.demos == drawn.demos[: len(task.demos)]
    icl.encode(model, task)
    with pytest.raises(ValueError, match="2048"):
        icl.encode(model, replace(task, demos=drawn.demos[: len(task.demos) + 1]))


def test_a_finetuning_that_diverges_is_recorded_as_such(online, model, monkeypatch):
    monkeypatch.setitem(paper.LEARNING_RATES["fairseq-1.3b"], "cb", 1e30)
    monkeypatch.setitem(SIZES, "validation", 3)
    found = paper.redo(model, "cb", 1)
    assert found["diverged"]
    assert "ways" not in found


def test_nothing_is_missing_or_fetched_for_another_model(online, model):
    assert PAPER.missing() == PAPER.missing(DEFAULT_MODEL) == []
    with pytest.raises(CourseError, match=r"gpt2.*\n.*--model fairseq-1\.3b"):
        paper.redo(replace(model, name="gpt2"), "cb", 1)
    assert online.seen == []


def test_without_the_hub_a_paper_model_is_told_how_to_allow_it(online, model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CourseError, match=r"\n.*HF_HUB_OFFLINE=0"):
        paper.redo(model, "cb", 1)
    assert online.seen == []


def test_the_grid_is_every_task_and_seed_and_begins_with_what_the_paper_shows():
    grid = list(paper.cells())
    assert len({(cell["task"], cell["seed"]) for cell in grid}) == len(grid) == 42
    shown = {(task, seeds[task]) for seeds in paper.REPORTED.values() for task in DATA}
    assert {(cell["task"], cell["seed"]) for cell in grid[: len(shown)]} == shown
    assert PAPER.missing("fairseq-1.3b") == [cell for cell in grid if cell not in recorded("fairseq-1.3b")]


def recorded(name):
    return [row["cell"] for row in PAPER.lines() if row["from"]["model"] == name]


def test_commits_are_whole_and_listed_with_the_data():
    listed = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for task, data in DATA.items():
        assert len(data.revision) == 40
        assert f"| `{task}` | `{data.repo}` | `{data.revision[:8]}` |" in listed


# --- Arithmetic of cost


@pytest.mark.parametrize(
    ("name", "layers", "d", "inner"), [("fairseq-1.3b", 24, 2048, 8192), ("fairseq-2.7b", 32, 2560, 10240)]
)
def test_parameters_by_hand(name, layers, d, inner):
    block = 4 * (d * d + d) + 2 * d * inner + inner + d + 2 * 2 * d
    total, trained = paper_cost.sizes(name)
    assert total == layers * block + 2 * d + 50261 * d  # positions are computed, input and output words are shared
    assert trained == layers * 2 * (d * d + d)


def test_parameters_are_those_of_a_real_network():
    config = {"num_layers": 2, "d_model": 32, "attention_heads": 4, "ffn_dim": 64}
    real = XGLMForCausalLM(XGLMConfig(vocab_size=11, **config))
    with torch.device("meta"):
        assert XGLMForCausalLM(XGLMConfig(vocab_size=11, **config)).num_parameters() == real.num_parameters()


def test_operations_by_hand():
    """cb: 56 queries, 19 demonstrations of 2048/20 tokens: one part, two tokens looked at."""
    tokens = 2048 / 20
    forward = 3 * 56 * tokens + 19 * tokens
    assert paper_cost.operations("cb", 1000) == pytest.approx(2 * 1000 * (2 * forward + 6 * 19 * tokens))


def test_hours_follow_the_device_and_its_utilisation():
    slow, fast = (paper_cost.estimate("fairseq-1.3b", device) for device in ("T4", "A100"))
    assert slow.hours_shown / fast.hours_shown == pytest.approx(19.5 / 8.1)
    half = paper_cost.estimate("fairseq-1.3b", "T4", paper_cost.UTILISATION / 2)
    assert half.hours_shown == pytest.approx(2 * slow.hours_shown)
    assert slow.hours_all == pytest.approx(7 * slow.hours_shown)


def test_what_fits_is_what_the_table_says(capsys):
    fits = {(m, d): paper_cost.estimate(m, d).fits for m in paper_cost.SHAPES for d in paper_cost.DEVICES}
    assert fits[("fairseq-1.3b", "T4")]
    assert not fits[("fairseq-2.7b", "T4")]
    assert fits[("fairseq-2.7b", "A100")]
    paper_cost.show()
    shown = capsys.readouterr().out
    assert "not measured" in shown
    assert shown.count("fairseq-1.3b") == 2
