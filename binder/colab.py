"""Every notebook's first cell runs this on Colab, in its own kernel: the course becomes importable and complete."""

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

if shutil.which("nvidia-smi"):  # read when helpers is imported: with a GPU the hub may be asked for a larger model
    os.environ.setdefault("HF_HUB_OFFLINE", "0")

from helpers.course import hosted  # noqa: E402
from helpers.support import CourseError  # noqa: E402

try:
    hosted.main()
    hosted.larger_model()
except CourseError as error:
    print(f"\n{error}")
