"""The peers as the benchmark starts and asks them: each with the best configuration that was found for it.

What each configuration says stands in the file that starts it, in `peers/`. Where a model's columns are all numbers,
everybody but us gets a matrix (lists of numbers, or a tensor), which is quicker for them than rows with names.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bench.batch_peer import peer_environment
from bench.peer_environments import FOLDER, Unavailable, last_line
from bench.serving_models import Workload

Rows: TypeAlias = list[dict[str, Any]]  # Any: numbers and texts
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server that somebody else wrote.

    Args:
        name: For a person.
        module: Its name in `--peers`, and of its lock; the plain handler has our own environment.
        command: From its interpreter, the workload and the port to what is started.
        path: Where it predicts.
        encode: From rows to what its JSON request says.
        read: From its JSON answer to the predictions.
        prepare: What is run once for each model, before it is started.
        ours: Whether it runs in our own environment.
    """

    name: str
    module: str
    command: Callable[[Path, Workload, int], list[str]]
    path: Callable[[Workload], str]
    encode: Callable[[Workload, Rows], Any]  # Any: JSON
    read: Callable[[Any], list[float]]  # Any: JSON
    prepare: Callable[[Path, Workload], list[str]] | None = None
    ours: bool = False

    def environment(self, python: Path, workload: Workload) -> dict[str, str]:
        """Return the environment of its process: nothing of ours, its own programs first, one thread."""
        environment = peer_environment()
        if self.ours:
            environment["PYTHONPATH"] = str(FOLDER.parents[1])
        environment["PATH"] = f"{python.parent}:{environment['PATH']}"
        return environment | THREADS | {"BENCH_FOLDER": str(workload.folder)}

    def made_ready(self, python: Path, workload: Workload) -> None:
        """Run what has to be run before the start.

        Raises:
            Unavailable: It failed.
        """
        if self.prepare is None:
            return
        command = self.prepare(python, workload)
        environment = self.environment(python, workload)
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ended.returncode != 0:
            raise Unavailable(f"cannot take the model: {last_line(ended.stderr)}")


def _script(name: str) -> Callable[[Path, Workload, int], list[str]]:
    file = str(FOLDER / f"{name}.py")
    return lambda python, workload, port: [str(python), "-P", file, str(workload.folder), str(port)]


def as_table(workload: Workload, rows: Rows) -> Any:  # Any: JSON
    """Return the rows as lists of numbers where they are nothing else."""
    return [list(row.values()) for row in rows] if workload.numeric else rows


def as_tensors(workload: Workload, rows: Rows) -> dict[str, Any]:  # Any: JSON
    """Return the rows as an Open Inference Protocol request: one matrix, or one tensor a column for a DataFrame."""
    if workload.numeric:
        values = [value for row in rows for value in row.values()]
        matrix = {"name": "x", "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": values}
        return {"inputs": [matrix | {"parameters": {"content_type": "np"}}]}
    columns = [
        {
            "name": name,
            "datatype": "BYTES" if isinstance(first, str) else "FP64",
            "shape": [len(rows), 1],
            "data": [row[name] for row in rows],
        }
        for name, first in rows[0].items()
    ]
    return {"parameters": {"content_type": "pd"}, "inputs": columns}


def _as_mlflow(workload: Workload, rows: Rows) -> dict[str, Any]:  # Any: JSON
    data = [list(row.values()) for row in rows]
    return (
        {"inputs": data}
        if workload.numeric
        else {"dataframe_split": {"columns": list(rows[0]), "data": data}}
    )


def _mlflow_command(python: Path, workload: Workload, port: int) -> list[str]:
    model = str(workload.folder / "mlflow")
    where = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    return [str(python), "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local", *where]


def _bentoml_command(python: Path, workload: Workload, port: int) -> list[str]:
    where = ["--working-dir", str(FOLDER), "--host", "127.0.0.1", "--port", str(port)]
    return [str(python), "-m", "bentoml", "serve", "serve_with_bentoml:Served", *where]


def _predictions(answer: Any) -> list[float]:  # Any: JSON
    found: list[float] = answer["predictions"]
    return found


def _of_tensor(answer: Any) -> list[float]:  # Any: JSON
    found: list[float] = answer["outputs"][0]["data"]
    return found


PLAIN = Peer(
    name="plain FastAPI handler",
    module="plain",
    command=lambda python, workload, port: [
        str(python),
        "-m",
        "bench.plain_handler",
        str(workload.folder / "model.pickle"),
        str(port),
    ],
    path=lambda workload: "/predict",
    encode=lambda workload, rows: {"rows": as_table(workload, rows)},
    read=_predictions,
    ours=True,
)

PEERS: Mapping[str, Peer] = {
    peer.module: peer
    for peer in (
        PLAIN,
        Peer(
            name="MLServer 1.7.1, batching",
            module="mlserver",
            command=_script("serve_with_mlserver"),
            path=lambda workload: "/v2/models/model/infer",
            encode=as_tensors,
            read=_of_tensor,
        ),
        Peer(
            name="LitServe 0.2.19, batching",
            module="litserve",
            command=_script("serve_with_litserve"),
            path=lambda workload: "/predict",
            encode=lambda workload, rows: {"rows": as_table(workload, rows)},
            read=_predictions,
        ),
        Peer(
            name="KServe SDK 0.21",
            module="kserve",
            command=_script("serve_with_kserve"),
            path=lambda workload: "/v1/models/model:predict",
            encode=lambda workload, rows: {"instances": as_table(workload, rows)},
            read=_predictions,
        ),
        Peer(
            name="BentoML 1.4.39, batching",
            module="bentoml",
            command=_bentoml_command,
            path=lambda workload: "/predict_matrix" if workload.numeric else "/predict_frame",
            encode=lambda workload, rows: {"rows": as_table(workload, rows)},
            read=list,
        ),
        Peer(
            name="MLflow 3.17 `models serve`",
            module="mlflow",
            command=_mlflow_command,
            path=lambda workload: "/invocations",
            encode=_as_mlflow,
            read=_predictions,
            prepare=lambda python, workload: [
                str(python),
                str(FOLDER / "save_for_mlflow.py"),
                str(workload.folder),
            ],
        ),
    )
}


def python_of_ours() -> Path:
    """Return the interpreter that runs this."""
    return Path(sys.executable)


def encoded(peer: Peer, workload: Workload, rows: Rows) -> bytes:
    """Return the request's body."""
    return json.dumps(peer.encode(workload, rows)).encode()
