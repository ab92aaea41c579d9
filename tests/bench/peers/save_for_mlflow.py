"""Save the model as MLflow wants it: `python save_for_mlflow.py FOLDER`, in MLflow's own environment.

`mlflow models serve` then serves it. Without a signature, which would only add a check of every request.
"""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path

import mlflow.sklearn

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    model = pickle.loads((folder / "model.pickle").read_bytes())["model"]
    saved = folder / "mlflow"
    shutil.rmtree(saved, ignore_errors=True)  # of the round before
    mlflow.sklearn.save_model(model, str(saved), serialization_format="cloudpickle", pip_requirements=[])
