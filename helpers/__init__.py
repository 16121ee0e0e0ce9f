"""The small module behind the notebooks. Read it in the order of the course:

    attention     softmax and linear attention, three programs with one output; momentum
    dual          a trained layer is attention to its training examples, and back
    regression    a layer of attention that is a gradient step, and one that learns to be
    tasks, icl    real sentences; a GPT zero-shot, in context and finetuned, under one scoring
    metrics       what the paper measured, and what chance makes of it
    controls      what the same measurements say where nothing is known of gradient descent

Behind doors: `gpt` (a real one) and `lm` (a small one). Rooms: `plots`, `widgets`, `experiments`, `check`, `course`,
`support`. Nothing heavy is imported here: `python -m helpers` starts anywhere.
"""

import os

# Everything the course needs is on this machine after set-up, so nothing ever waits for a hub.
# `HF_HUB_OFFLINE=0` in the environment allows the download of other models (see `helpers.gpt.KNOWN`).
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

DEFAULT_MODEL = "smollm2-135m"  # comes with set-up, out of a package; helpers.gpt loads it
LARGER_MODEL = "fairseq-1.3b"  # the smaller of the paper's two, for a GPU
