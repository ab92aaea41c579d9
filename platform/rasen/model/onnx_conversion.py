"""A model as an ONNX graph, made once before publication; serving runs the very bytes that were compared.

Everything is asked for in double precision, in which scikit-learn computes: in single a scaler moves rows to the other
side of a tree's threshold. Trees are written by `onnx_trees.py`, everything else by skl2onnx. What cannot be converted
is no candidate; `engine_checks.py` decides about what can.
"""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rasen.data.columns import ColumnType
from rasen.model.conversion import NUMPY_DTYPES, is_category
from rasen.model.schema import Column, ModelSchema
from rasen.model.trees import Ensemble, read_trees

ROWS_INPUT = "rasen_rows"
"""The input of a graph that takes all columns as one matrix, in the schema's order."""
RESULT = "rasen_prediction"
WANTS_FINITE = "rasen_wants_finite"
"""Noted in a graph whose model refuses what is infinite in single precision, as scikit-learn's trees do."""
MOST_BYTES = 64_000_000
CONVERSION_SECONDS = 20.0

_OPSETS = {"": 18, "ai.onnx.ml": 3}  # what skl2onnx writes its parts in
_IR_VERSION = 10  # the first that knows TreeEnsemble
_ENCODERS = ("OneHotEncoder", "OrdinalEncoder")
# Operators whose numbers are single, whatever goes in: a class may change where two are almost as likely.
_SINGLE_PRECISION = {
    "FeatureVectorizer",
    "Imputer",
    "LinearClassifier",
    "LinearRegressor",
    "Normalizer",
    "Scaler",
    "SVMClassifier",
    "SVMRegressor",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
}
_NUMERIC = (ColumnType.BOOL, ColumnType.INT64, ColumnType.FLOAT64)


class NotConverted(Exception):
    """A model that should convert did not; the text says why."""


class _TookTooLong(BaseException):
    """So that no converter's `except Exception` takes it for its own."""


def convert_to_onnx(
    model: Any, schema: ModelSchema, *, seconds: float = CONVERSION_SECONDS
) -> bytes | None:  # Any: whatever was published
    """Return the graph, or `None` when nobody knows how to convert such a model.

    Args:
        model: What was published.
        schema: Its contract.
        seconds: How much processor time it may take.

    Raises:
        NotConverted: The conversion failed, warned, took too long, or made something that cannot be executed.
    """
    steps = _steps(model)
    if steps is None or not all(_carries(column) for column in schema.inputs):
        return None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for about_libraries in (DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning):
            warnings.simplefilter("ignore", about_libraries)
        try:
            with _limited(seconds):
                data = _convert(model, steps, schema)
        except _TookTooLong:
            raise NotConverted(f"the conversion took more than {seconds:.0f} s") from None
        except NotConverted:
            raise
        except Exception as error:  # the boundary to the converters
            if type(error).__name__ in ("MissingShapeCalculator", "MissingConverter"):
                return None
            first = str(error).strip().partition("\n")[0][:200]
            raise NotConverted(f"the conversion raised {type(error).__name__}: {first}") from error
    if caught:
        first = str(caught[0].message).partition("\n")[0][:200]
        raise NotConverted(f"the conversion warned: {first}")
    if data is not None and len(data) > MOST_BYTES:
        raise NotConverted(f"the converted model has {len(data)} bytes, {MOST_BYTES} are the most")
    return data


def _steps(model: Any) -> list[Any] | None:  # Any: whatever was published
    """Return the parts of a pipeline, or the model as the only one; `None` when one is not of a library known here."""
    steps = _chain(model)
    if not all(map(_is_known, steps)):
        return None
    return [step for step in steps[:-1] if step != "passthrough"] + steps[-1:]


def _chain(part: Any) -> list[Any]:  # Any: likewise
    return [step for _, step in part.steps] if _is(part, "Pipeline") else [part]


def _is_known(part: Any) -> bool:  # Any: likewise
    """Return whether a part and those inside it are of a library, and none of them calls what an analyst wrote."""
    if isinstance(part, str):  # "passthrough", "drop"
        return True
    if not type(part).__module__.startswith(("sklearn.", "xgboost.sklearn")):
        return False
    if _is(part, "FunctionTransformer"):
        return part.func is None
    if _is(part, "ColumnTransformer"):
        return all(_is_known(inner) for _, inner, _ in part.transformers_)
    return not _is(part, "Pipeline") or all(map(_is_known, _chain(part)))


def _is(part: object, *names: str) -> bool:
    return type(part).__name__ in names and type(part).__module__.startswith("sklearn.")


def _carries(column: Column) -> bool:
    """Return whether a tensor carries the column: no null but NaN, and nothing that only pandas knows."""
    if is_category(column):
        return False
    if column.type is ColumnType.STRING:
        return not column.nullable
    return column.type in _NUMERIC and column.dtype in NUMPY_DTYPES


def _convert(model: Any, steps: list[Any], schema: ModelSchema) -> bytes | None:  # Any: of the libraries
    ensemble = read_trees(steps[-1])
    if ensemble is None:
        treelike = any(word in type(steps[-1]).__name__ for word in ("Forest", "Trees", "Tree", "Boosting"))
        if treelike or not type(steps[-1]).__module__.startswith("sklearn."):
            return None
        return _serialized(_by_skl2onnx(model, steps, schema))
    if len(steps) == 1:
        if _feature_names(steps[0], schema) != schema.names or ensemble.features != len(schema.names):
            return None
        return _serialized(_bare_trees(ensemble))
    from sklearn.pipeline import Pipeline

    before = Pipeline([(str(position), step) for position, step in enumerate(steps[:-1])])
    graph = _by_skl2onnx(before, steps[:-1], schema)
    if graph is None:
        return None
    # scikit-learn's trees read a sparse matrix as the dense one that it stands for; XGBoost's do not.
    sparse = ensemble.single and _is_sparse(steps[-2])
    return _serialized(_with_trees(graph, ensemble, zero_is_missing=sparse))


def _is_sparse(transformer: Any) -> bool:  # Any: of scikit-learn
    """Return whether a transformer hands a sparse matrix on."""
    if _is(transformer, "ColumnTransformer"):
        return bool(transformer.sparse_output_)
    return _is(transformer, "OneHotEncoder") and bool(transformer.sparse_output)


def _feature_names(estimator: Any, schema: ModelSchema) -> tuple[str, ...]:  # Any: of the libraries
    booster = getattr(estimator, "get_booster", None)
    names = getattr(estimator, "feature_names_in_", None) if booster is None else booster().feature_names
    return schema.names if names is None else tuple(names)


def _by_skl2onnx(model: Any, steps: list[Any], schema: ModelSchema) -> Any | None:  # Any: onnx has no types
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
    from sklearn.impute import SimpleImputer

    from rasen.model.onnx_imputer import convert_imputer, imputer_shape

    types: list[tuple[str, Any]]  # Any: as above
    if _is(steps[0], "ColumnTransformer"):
        encoded = _encoded_columns(steps[0])
        types = []
        for column in schema.inputs:
            kind = DoubleTensorType
            if column.type is ColumnType.STRING:
                kind = StringTensorType
            elif column.name in encoded and column.type is ColumnType.INT64:
                kind = Int64TensorType
            types.append((column.name, kind([None, 1])))
    elif _has_text(schema) or _feature_names(steps[0], schema) != schema.names:
        return None
    else:
        types = [(ROWS_INPUT, DoubleTensorType([None, len(schema.inputs)]))]
    # Else the probabilities of a classifier become a list of dicts, which only exists in single precision.
    options = {id(model): {"zipmap": False}} if hasattr(model, "classes_") else None
    graph = convert_sklearn(
        model,
        initial_types=types,
        options=options,
        target_opset=_OPSETS,
        custom_conversion_functions={SimpleImputer: convert_imputer},
        custom_shape_calculators={SimpleImputer: imputer_shape},
    )
    narrow = sorted({node.op_type for node in graph.graph.node} & _SINGLE_PRECISION)
    if narrow:
        raise NotConverted(f"{narrow[0]} of ONNX computes in single precision, the model in double")
    return graph


def _has_text(schema: ModelSchema) -> bool:
    return any(column.type is ColumnType.STRING for column in schema.inputs)


def _encoded_columns(compose: Any) -> set[str]:  # Any: of scikit-learn
    """Return the columns whose values are looked up, so that whole numbers have to stay whole."""
    encoded: set[str] = set()
    for _, part, names in compose.transformers_:
        first = _chain(part)[0]
        if _is(first, *_ENCODERS) and not isinstance(names, str):
            encoded |= {name for name in names if isinstance(name, str)}
    return encoded


def _bare_trees(ensemble: Ensemble) -> Any:  # Any: as above
    from onnx import TensorProto, helper

    from rasen.model.onnx_trees import tree_nodes

    kind = TensorProto.FLOAT if ensemble.rounded else TensorProto.DOUBLE
    rows = helper.make_tensor_value_info(ROWS_INPUT, kind, [None, ensemble.features])
    nodes = tree_nodes(ensemble, ROWS_INPUT, RESULT)
    model = _finished(helper.make_graph(nodes, "rasen", [rows], [_result(ensemble)]), [])
    if ensemble.rounded and not ensemble.single:
        helper.set_model_props(model, {WANTS_FINITE: "true"})
    return model


def _with_trees(model: Any, ensemble: Ensemble, *, zero_is_missing: bool) -> Any:  # Any: as above
    """Return the graph of the transformers with the trees behind it."""
    from onnx import helper

    from rasen.model.onnx_trees import tree_nodes

    graph = model.graph
    nodes = [
        *graph.node,
        *tree_nodes(ensemble, graph.output[0].name, RESULT, zero_is_missing=zero_is_missing),
    ]
    whole = helper.make_graph(nodes, "rasen", list(graph.input), [_result(ensemble)], list(graph.initializer))
    return _finished(whole, list(model.opset_import))


def _result(ensemble: Ensemble) -> Any:  # Any: as above
    from onnx import TensorProto, helper

    if ensemble.classes is None:
        single = ensemble.single and ensemble.link == "identity"
        kind = TensorProto.FLOAT if single else TensorProto.DOUBLE
        return helper.make_tensor_value_info(RESULT, kind, [None, 1])
    kinds = {"b": TensorProto.BOOL, "i": TensorProto.INT64, "u": TensorProto.INT64}
    kind = kinds.get(ensemble.classes.dtype.kind, TensorProto.STRING)
    return helper.make_tensor_value_info(RESULT, kind, [None])


def _finished(graph: Any, opsets: list[Any]) -> Any:  # Any: as above
    from onnx import helper

    from rasen.model.onnx_trees import ML_DOMAIN, ML_VERSION

    versions = _OPSETS | {one.domain: one.version for one in opsets} | {ML_DOMAIN: ML_VERSION}
    imports = [helper.make_opsetid(domain, version) for domain, version in versions.items()]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


def _serialized(model: Any | None) -> bytes | None:  # Any: as above
    if model is None:
        return None
    from onnx import checker

    checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise in the middle of a conversion that takes more processor time than that.

    Only a main thread can be interrupted, and the qualification has one of its own; elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
