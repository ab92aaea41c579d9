"""ONNX Runtime: the graph that was made from a model before it was published.

A call costs microseconds where the library's own costs hundreds: nothing looks at a DataFrame, nothing chooses threads.
One thread and no spinning, because a worker has many models and one core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import ModelFailed
from rasen.model.conversion import as_list, check_values, converter
from rasen.model.onnx_conversion import ROWS_INPUT
from rasen.model.predictions import Predictions, normalise
from rasen.model.schema import Column, ModelSchema

if TYPE_CHECKING:
    import numpy as np

_ERRORS_ONLY = 3  # ONNX Runtime's level of severity
_DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64"}
_TEXT = "tensor(string)"


class OnnxEngine:
    """A converted model."""

    name = "onnx"
    quick = True

    def __init__(self, data: bytes, schema: ModelSchema) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = _ERRORS_ONLY
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the boundary to a library
            raise ModelFailed(f"ONNX Runtime cannot execute the converted model: {error}") from error
        self._session: Any = session  # Any: its own stubs leave most open
        self._result = [session.get_outputs()[0].name]
        self._inputs = {given.name: str(given.type) for given in session.get_inputs()}
        self._schema = schema
        self._first = schema.names[0]
        self._converters = [converter(column) for column in schema.inputs]
        self._rounds = self._inputs.get(ROWS_INPUT) == "tensor(float)"
        self._narrow = any(kind == "tensor(float)" for kind in self._inputs.values())

    def predict(self, columns: Mapping[str, Sequence[object]]) -> Predictions:
        """Predict the rows of `columns`."""
        rows = len(columns[self._first])
        feed = (
            {ROWS_INPUT: self._matrix(columns, rows)}
            if ROWS_INPUT in self._inputs
            else self._tensors(columns, rows)
        )
        try:
            (answer,) = self._session.run(self._result, feed)
        except Exception as error:  # the boundary to a library
            raise ModelFailed(f"the model raised {type(error).__name__}: {error}") from error
        if answer.dtype.kind == "i" and self._schema.output.type is ColumnType.BOOL:
            answer = answer != 0  # converters know no classes of true and false
        return normalise(answer, rows=rows, output=self._schema.output)

    def _matrix(self, columns: Mapping[str, Sequence[object]], rows: int) -> np.ndarray:
        import numpy as np

        schema = self._schema
        matrix = np.empty((rows, len(schema.inputs)), dtype=_DTYPES[self._inputs[ROWS_INPUT]])
        with np.errstate(over="ignore"):  # refused below
            for position, (name, convert) in enumerate(zip(schema.names, self._converters, strict=True)):
                matrix[:, position] = convert(columns[name])
        if self._rounds and np.isinf(matrix).any():
            raise ModelFailed("a value is too large for single precision, in which the model compares")
        return matrix

    def _tensors(self, columns: Mapping[str, Sequence[object]], rows: int) -> dict[str, np.ndarray]:
        feed = {}
        for column, convert in zip(self._schema.inputs, self._converters, strict=True):
            tensor = self._tensor(column, columns[column.name], convert)
            if tensor is not None:
                feed[column.name] = tensor.reshape(rows, 1)
        return feed

    def _tensor(self, column: Column, values: Any, convert: Any) -> np.ndarray | None:  # Any: see conversion
        import numpy as np

        kind = self._inputs.get(column.name)
        if kind == _TEXT:
            values = as_list(values)
            check_values(column, values)
            return np.array(values, dtype=object)
        array = convert(values)  # also of a column without use, which is refused here as everywhere
        return None if kind is None else np.asarray(array, dtype=_DTYPES[kind])


def make_onnx_engine(data: bytes, schema: ModelSchema) -> OnnxEngine | None:
    """Return the engine, or `None` where ONNX Runtime is not installed.

    Raises:
        ModelFailed: The graph cannot be executed.
    """
    try:
        return OnnxEngine(data, schema)
    except ModuleNotFoundError:
        return None
