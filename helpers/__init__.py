"""The small module behind the notebooks. Nothing heavy is imported here: `python -m helpers` starts anywhere."""

import os

# Everything the course needs is on this machine after set-up, so nothing ever waits for a hub.
# `HF_HUB_OFFLINE=0` in the environment allows the download of other models (see `helpers.gpt.KNOWN`).
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

DEFAULT_MODEL = "smollm2-135m"  # comes with set-up, out of a package; helpers.gpt loads it
