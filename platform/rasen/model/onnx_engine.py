"""ONNX Runtime: the graph that was made from a model before it was published.

A call costs microseconds where the library's own costs hundreds: nothing looks at a DataFrame, nothing chooses threads.
One thread and no spinning, because a worker has many models and one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rasen.data.columns import ColumnType
from rasen.errors import ModelFailed
from rasen.model.conversion import Values, as_list, check_values
from rasen.model.matrices import MatrixBuilder, to_rows
from rasen.model.onnx_conversion import ROWS_INPUT, WANTS_FINITE
from rasen.model.predictions import Predictions, normalise
from rasen.model.schema import ModelSchema

if TYPE_CHECKING:
    import numpy as np

_ERRORS_ONLY = 3  # ONNX Runtime's level of severity
_SINGLE = "tensor(float)"
_DTYPES = {_SINGLE: "float32", "tensor(double)": "float64", "tensor(int64)": "int64"}


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
        self._output = schema.output
        self._first = schema.names[0]
        self._wants_finite = WANTS_FINITE in session.get_modelmeta().custom_metadata_map
        self._is_matrix = ROWS_INPUT in self._inputs
        numeric = [column for column in schema.inputs if column.type is not ColumnType.STRING]
        self._numbers = MatrixBuilder(numeric)
        self._fed = [
            (position, column.name, _DTYPES[self._inputs[column.name]])
            for position, column in enumerate(numeric)
            if column.name in self._inputs
        ]
        self._texts = [column for column in schema.inputs if column.type is ColumnType.STRING]

    def predict(self, columns: Mapping[str, Values]) -> Predictions:
        """Predict the rows of `columns`."""
        rows = len(columns[self._first])
        numbers = self._numbers.build(columns, rows)
        feed = {ROWS_INPUT: self._matrix(numbers)} if self._is_matrix else self._tensors(columns, numbers)
        try:
            (answer,) = self._session.run(self._result, feed)
        except Exception as error:  # the boundary to a library
            raise ModelFailed(f"the model raised {type(error).__name__}: {error}") from error
        if answer.shape == (rows, 1):
            answer = answer.reshape(rows)
        if answer.dtype.kind == "i" and self._output.type is ColumnType.BOOL:
            answer = answer != 0  # converters know no classes of true and false
        return normalise(answer, rows=rows, output=self._output)

    def _matrix(self, numbers: np.ndarray) -> np.ndarray:
        import numpy as np

        matrix = to_rows(numbers, _DTYPES[self._inputs[ROWS_INPUT]])
        if self._wants_finite and np.isinf(matrix).any():
            raise ModelFailed("a value is too large for single precision, in which the model compares")
        return matrix

    def _tensors(self, columns: Mapping[str, Values], numbers: np.ndarray) -> dict[str, np.ndarray]:
        import numpy as np

        feed: dict[str, np.ndarray] = {
            name: numbers[position].astype(dtype, copy=False).reshape(-1, 1)
            for position, name, dtype in self._fed
        }
        for column in self._texts:
            values = as_list(columns[column.name])
            check_values(column, values)  # also of a column without use, which is refused here as everywhere
            if column.name in self._inputs:
                feed[column.name] = np.array(values, dtype=object).reshape(-1, 1)
        return feed


def make_onnx_engine(data: bytes, schema: ModelSchema) -> OnnxEngine | None:
    """Return the engine, or `None` where ONNX Runtime is not installed.

    Raises:
        ModelFailed: The graph cannot be executed.
    """
    try:
        return OnnxEngine(data, schema)
    except ModuleNotFoundError:
        return None
