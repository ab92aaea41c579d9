"""An ensemble of trees as nodes of an ONNX graph, exact to the last bit of the sums.

skl2onnx and onnxmltools have converters for trees. Those of skl2onnx make an invalid graph of double precision
(`TreeEnsembleRegressor` answers in single) and those of onnxmltools add XGBoost's base score last. `TreeEnsemble` of
ai.onnx.ml 5 computes in the precision of its input, so here an ensemble is written as it is; what its sums begin with
is a first tree of one leaf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rasen.model.trees import Ensemble, Tree

if TYPE_CHECKING:
    import numpy as np

ML_DOMAIN, ML_VERSION = "ai.onnx.ml", 5
_LESS_OR_EQUAL, _LESS = 0, 1  # TreeEnsemble's numbers for the ways to compare
_SUM = 1


class _Arrays:
    """The arrays of all trees one after the other, inner nodes apart from leaves."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.inner = 0
        self.leaves = 0
        self.parts: dict[str, list[np.ndarray]] = {}

    def add(self, tree: Tree) -> None:
        import numpy as np

        leaf = tree.left < 0
        numbers = np.where(leaf, np.cumsum(leaf) - 1 + self.leaves, np.cumsum(~leaf) - 1 + self.inner)
        self.roots.append(self.inner)
        self._put("leaf_weights", tree.value[leaf])
        self._put("leaf_targetids", np.full(int(leaf.sum()), tree.target))
        if leaf[0]:  # a node has to lead to it, with either answer
            self._nodes(*(np.array([number]) for number in (0, 0.0, self.leaves, self.leaves, 1, 1, 0)))
        else:
            left, right = tree.left[~leaf], tree.right[~leaf]
            self._nodes(
                tree.feature[~leaf],
                tree.threshold[~leaf],
                numbers[left],
                numbers[right],
                leaf[left],
                leaf[right],
                tree.missing_left[~leaf],
            )
        self.leaves += int(leaf.sum())

    def _nodes(self, *arrays: np.ndarray) -> None:
        names = (
            "nodes_featureids",
            "nodes_splits",
            "nodes_truenodeids",
            "nodes_falsenodeids",
            "nodes_trueleafs",
            "nodes_falseleafs",
            "nodes_missing_value_tracks_true",
        )
        for name, array in zip(names, arrays, strict=True):
            self._put(name, array)
        self.inner += len(arrays[0])

    def _put(self, name: str, array: np.ndarray) -> None:
        self.parts.setdefault(name, []).append(array)


def tree_nodes(
    ensemble: Ensemble, source: str, result: str, *, zero_is_missing: bool = False
) -> list[Any]:  # Any: onnx has no types
    """Return the nodes that compute from the matrix `source` (any float type) the answers `result`, one a row.

    Args:
        ensemble: The trees.
        source: The name of the matrix.
        result: The name of the answers.
        zero_is_missing: Whether the trees get the matrix as a sparse one and take what it leaves out for missing.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    number = TensorProto.FLOAT if ensemble.single else TensorProto.DOUBLE
    dtype: Any = np.float32 if ensemble.single else np.float64  # Any: NumPy's stubs want one of them
    nodes = []
    if ensemble.rounded:
        nodes.append(helper.make_node("Cast", [source], ["trees_rounded"], to=TensorProto.FLOAT))
        source = "trees_rounded"
    nodes.append(helper.make_node("Cast", [source], ["trees_rows"], to=number))
    rows = "trees_rows"
    if zero_is_missing:
        nodes += [
            _constant("trees_zero", np.array(0, dtype=dtype)),
            _constant("trees_missing", np.array(np.nan, dtype=dtype)),
            helper.make_node("Equal", [rows, "trees_zero"], ["trees_left_out"]),
            helper.make_node("Where", ["trees_left_out", "trees_missing", rows], ["trees_sparse_rows"]),
        ]
        rows = "trees_sparse_rows"
    arrays = _flatten(ensemble)
    together = {name: np.concatenate(parts) for name, parts in arrays.parts.items()}
    mode = np.full(arrays.inner, _LESS if ensemble.strict else _LESS_OR_EQUAL, dtype=np.uint8)
    floats = ("nodes_splits", "leaf_weights")
    nodes.append(
        helper.make_node(
            "TreeEnsemble",
            [rows],
            ["trees_sums"],
            domain=ML_DOMAIN,
            n_targets=len(ensemble.base),
            aggregate_function=_SUM,
            post_transform=0,
            tree_roots=arrays.roots,
            nodes_modes=numpy_helper.from_array(mode),
            **{
                name: numpy_helper.from_array(array.astype(dtype))
                if name in floats
                else array.astype(np.int64).tolist()
                for name, array in together.items()
            },
        )
    )
    sums = "trees_sums"
    if ensemble.divisor != 1.0:
        nodes += [_constant("trees_divisor", np.array(ensemble.divisor, dtype=dtype))]
        nodes += [helper.make_node("Div", [sums, "trees_divisor"], ["trees_means"])]
        sums = "trees_means"
    return nodes + _answer_nodes(ensemble, sums, result, dtype)


def _flatten(ensemble: Ensemble) -> _Arrays:
    import numpy as np

    arrays = _Arrays()
    nothing, end = np.zeros(1), np.array([-1])
    for target, score in enumerate(ensemble.base.tolist() if ensemble.base.any() else ()):
        arrays.add(
            Tree(
                target=target,
                feature=nothing,
                threshold=nothing,
                left=end,
                right=end,
                missing_left=nothing,
                value=np.array([score]),
            )
        )
    for tree in ensemble.trees:
        arrays.add(tree)
    return arrays


def _answer_nodes(ensemble: Ensemble, sums: str, result: str, dtype: Any) -> list[Any]:  # Any: as above
    import numpy as np
    from onnx import TensorProto, helper

    if ensemble.classes is None:
        return _link_nodes(ensemble, sums, result)
    if ensemble.decision == "greatest":
        chosen = [helper.make_node("ArgMax", [sums], ["trees_chosen"], axis=1, keepdims=0)]
    else:
        # A probability of exactly one half is class 0 to XGBoost, and single precision rounds to it what is this near.
        limit = 8.9406967e-08 if ensemble.single else 0.0
        comparison = "Greater" if ensemble.decision == "positive" else "GreaterOrEqual"
        chosen = [
            _constant("trees_limit", np.array(limit, dtype=dtype)),
            _constant("trees_flat", np.array([-1], dtype=np.int64)),
            helper.make_node("Reshape", [sums, "trees_flat"], ["trees_margins"]),
            helper.make_node(comparison, ["trees_margins", "trees_limit"], ["trees_yes"]),
            helper.make_node("Cast", ["trees_yes"], ["trees_chosen"], to=TensorProto.INT64),
        ]
    classes = np.asarray(ensemble.classes)
    if classes.dtype.kind not in "biu":
        classes = classes.astype(object)
    return [
        *chosen,
        _constant("trees_classes", classes),
        helper.make_node("Gather", ["trees_classes", "trees_chosen"], [result]),
    ]


def _link_nodes(ensemble: Ensemble, sums: str, result: str) -> list[Any]:  # Any: as above
    """Apply the link in double precision: ONNX Runtime's `Sigmoid` of single is off by more than the last bits."""
    import numpy as np
    from onnx import TensorProto, helper

    if ensemble.link == "identity":
        return [helper.make_node("Identity", [sums], [result])]
    nodes = [helper.make_node("Cast", [sums], ["link_margins"], to=TensorProto.DOUBLE)]
    if ensemble.link == "exp":
        return [*nodes, helper.make_node("Exp", ["link_margins"], [result])]
    return [
        *nodes,
        _constant("link_one", np.array(1.0)),
        helper.make_node("Neg", ["link_margins"], ["link_negated"]),
        helper.make_node("Exp", ["link_negated"], ["link_odds"]),
        helper.make_node("Add", ["link_one", "link_odds"], ["link_all"]),
        helper.make_node("Div", ["link_one", "link_all"], [result]),
    ]


def _constant(name: str, value: np.ndarray) -> Any:  # Any: as above
    from onnx import helper, numpy_helper

    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value, name))
