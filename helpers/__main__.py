"""python -m helpers VERB: what every make target calls."""

import sys

from helpers.course.verbs import main

if __name__ == "__main__":
    sys.exit(main())
