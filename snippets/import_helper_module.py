# ---
# title: Import a helper module
# description: >-
#   Functions that two notebooks of a pipeline share belong into a Python file beside them: a run gets that folder and
#   nothing else, and what a published model uses of it travels with the model. A file found elsewhere is refused
#   here, not in the nightly run. Instead of a copied cell, which two people would mend differently.
# tags: [pipeline, start]
# placeholders:
#   helper: {default: demand, description: "name of the file beside the notebook, without .py"}
# ---
from pathlib import Path

import __helper__

if Path(__helper__.__file__).resolve().parent != Path.cwd().resolve():
    raise ImportError(
        f"__helper__ came from {__helper__.__file__}, not from the notebook's folder: a run lacks it"
    )
