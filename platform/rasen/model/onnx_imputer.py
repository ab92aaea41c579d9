"""`SimpleImputer` in ONNX: the operator that skl2onnx uses for it does not exist in double precision."""

from __future__ import annotations

from typing import Any


def imputer_shape(operator: Any) -> None:  # Any: skl2onnx has no types
    """Say what comes out: the columns that went in, in their type."""
    given = operator.inputs[0].type
    columns = sum(variable.type.shape[1] for variable in operator.inputs)
    operator.outputs[0].type = given.__class__([None, columns])


def convert_imputer(scope: Any, operator: Any, container: Any) -> None:  # Any: likewise
    """Add the nodes that replace NaN in each column by what the imputer learned.

    Raises:
        NotImplementedError: The imputer does more than that.
    """
    import numpy as np
    from onnx import TensorProto

    imputer = operator.raw_operator
    learned = np.asarray(imputer.statistics_)
    if (
        imputer.add_indicator
        or len(operator.inputs) > 1
        or learned.dtype.kind != "f"
        or not np.isfinite(learned).all()
        or not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values))
    ):
        raise NotImplementedError("only NaN in columns of fractions is replaced, by finite numbers")
    source = operator.inputs[0].full_name
    filling, missing = scope.get_unique_variable_name("filling"), scope.get_unique_variable_name("missing")
    container.add_initializer(filling, TensorProto.DOUBLE, [1, len(learned)], learned.tolist())
    container.add_node("IsNaN", [source], [missing], name=scope.get_unique_operator_name("IsNaN"))
    container.add_node(
        "Where",
        [missing, filling, source],
        [operator.outputs[0].full_name],
        name=scope.get_unique_operator_name("Where"),
        op_version=9,
    )
