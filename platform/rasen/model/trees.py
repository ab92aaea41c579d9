"""The trees inside a model as arrays: what splits where, and what the leaves add.

Read from scikit-learn's and XGBoost's own structures, for two uses: rows on their thresholds (`threshold_rows.py`)
and the same trees in ONNX (`onnx_trees.py`). An ensemble says exactly how its library computes, because the comparison
with the model forgives only the last bits: in which precision features are compared, with `<` or `<=`, in which order
leaves are added, and that XGBoost starts with its base score where a converter would add it at the end, which moves one
answer in nine by more than 1e-6.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

MOST_NODES = 2_000_000
"""An ensemble with more is left alone: its arrays would weigh hundreds of megabytes."""

_MOST_BYTES = 150 * MOST_NODES  # about as much JSON as XGBoost writes for so many
_SINGLE_TREES = ("DecisionTreeRegressor", "DecisionTreeClassifier")
_FORESTS = ("RandomForestRegressor", "RandomForestClassifier", "ExtraTreesRegressor", "ExtraTreesClassifier")
_BOOSTED = ("GradientBoostingRegressor", "GradientBoostingClassifier")
_BINNED = ("HistGradientBoostingRegressor", "HistGradientBoostingClassifier")
_XGBOOST = ("XGBRegressor", "XGBClassifier")
_XGBOOST_LINKS: dict[str, Link] = {
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:logistic": "logistic",
    "binary:logistic": "logistic",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "multi:softprob": "identity",
}

Link = Literal["identity", "exp", "logistic"]
Decision = Literal["value", "greatest", "positive", "not negative"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tree:
    """One tree; all arrays have one element a node, the first node is the root.

    Args:
        target: Which of the ensemble's sums the leaves add to.
        feature: Whose value is compared, at inner nodes.
        threshold: With what.
        left: The node that follows when it is less, or equal as the ensemble says; -1 at leaves.
        right: The other one.
        missing_left: Whether a missing value goes to the left.
        value: What a leaf adds.
    """

    target: int
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble:
    """Trees that are added up, and what becomes of the sums.

    Args:
        trees: In the order in which they are added.
        base: What each sum begins with, `(targets,)`.
        features: How many features a row has.
        single: Whether leaves are added in single precision.
        rounded: Whether features are rounded to single precision before they are compared.
        strict: Whether a value equal to a threshold goes to the right.
        divisor: What the sums are divided by.
        link: What turns a sum into a regression's answer.
        decision: What turns the sums into a class; `value` for a regression.
        classes: The classes, `None` for a regression.
    """

    trees: tuple[Tree, ...]
    base: np.ndarray
    features: int
    single: bool
    rounded: bool
    strict: bool
    divisor: float = 1.0
    link: Link = "identity"
    decision: Decision = "value"
    classes: np.ndarray | None = None


def read_trees(estimator: Any) -> Ensemble | None:  # Any: whatever stands last in a pipeline
    """Return the trees of an estimator, or `None` when it has none, or does more with them than is known here."""
    name = type(estimator).__name__
    if type(estimator).__module__.startswith("sklearn."):
        if getattr(estimator, "n_outputs_", 1) != 1:
            return None
        if name in _SINGLE_TREES:
            return _read_forest(estimator, [estimator])
        if name in _FORESTS:
            return _read_forest(estimator, estimator.estimators_)
        if name in _BOOSTED:
            return _read_boosted(estimator)
        if name in _BINNED:
            return _read_binned(estimator)
    if type(estimator).__module__ == "xgboost.sklearn" and name in _XGBOOST:
        return _read_xgboost(estimator, classifies=name == "XGBClassifier")
    return None


def _read_forest(estimator: Any, members: Iterable[Any]) -> Ensemble | None:  # Any: of scikit-learn
    import numpy as np

    forest = [member.tree_ for member in members]
    classes = getattr(estimator, "classes_", None)
    targets = 1 if classes is None else len(classes)
    if targets * sum(tree.node_count for tree in forest) > MOST_NODES:
        return None
    return Ensemble(
        trees=tuple(
            _sklearn_tree(tree, tree.value[:, 0, target], target=target)
            for tree in forest
            for target in range(targets)
        ),
        base=np.zeros(targets),
        features=estimator.n_features_in_,
        single=False,
        rounded=True,
        strict=False,
        divisor=float(len(forest)),
        decision="value" if classes is None else "greatest",
        classes=classes,
    )


def _read_boosted(estimator: Any) -> Ensemble | None:  # Any: of scikit-learn
    import numpy as np

    stages = estimator.estimators_
    # An estimator of the analyst's that the sums start from may depend on the row.
    if estimator.init_ != "zero" and type(estimator.init_).__name__ not in (
        "DummyRegressor",
        "DummyClassifier",
    ):
        return None
    if sum(member.tree_.node_count for stage in stages for member in stage) > MOST_NODES:
        return None
    base = estimator._raw_predict_init(
        np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    )  # as its predict does
    classes = getattr(estimator, "classes_", None)
    return Ensemble(
        trees=tuple(
            _sklearn_tree(member.tree_, estimator.learning_rate * member.tree_.value[:, 0, 0], target=target)
            for stage in stages
            for target, member in enumerate(stage)
        ),
        base=np.asarray(base[0], dtype=np.float64),
        features=estimator.n_features_in_,
        single=False,
        rounded=True,
        strict=False,
        decision="value" if classes is None else "not negative" if stages.shape[1] == 1 else "greatest",
        classes=classes,
    )


def _sklearn_tree(tree: Any, value: np.ndarray, *, target: int) -> Tree:  # Any: of scikit-learn
    return Tree(
        target=target,
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left,
        value=value,
    )


def _read_binned(estimator: Any) -> Ensemble | None:  # Any: of scikit-learn
    import numpy as np

    stages = estimator._predictors  # nothing public holds the trees
    nodes = sum(len(predictor.nodes) for stage in stages for predictor in stage)
    if estimator.is_categorical_ is not None or nodes > MOST_NODES:
        return None
    classes = getattr(estimator, "classes_", None)
    link: Link = "identity"
    if classes is None:
        if estimator.loss not in ("squared_error", "absolute_error", "quantile", "gamma", "poisson"):
            return None
        link = "exp" if estimator.loss in ("gamma", "poisson") else "identity"
    base = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)  # likewise
    trees = []
    for stage in stages:
        for target, predictor in enumerate(stage):
            found = predictor.nodes
            leaf = found["is_leaf"] != 0
            trees.append(
                Tree(
                    target=target,
                    feature=found["feature_idx"].astype(np.int64),
                    threshold=found["num_threshold"].astype(np.float64),
                    left=np.where(leaf, -1, found["left"].astype(np.int64)),
                    right=np.where(leaf, -1, found["right"].astype(np.int64)),
                    missing_left=found["missing_go_to_left"],
                    value=found["value"].astype(np.float64),
                )
            )
    return Ensemble(
        trees=tuple(trees),
        base=base,
        features=estimator.n_features_in_,
        single=False,
        rounded=False,
        strict=False,
        link=link,
        decision="value" if classes is None else "positive" if len(base) == 1 else "greatest",
        classes=classes,
    )


def _read_xgboost(estimator: Any, *, classifies: bool) -> Ensemble | None:  # Any: of an optional library
    """Read the model's own JSON, https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html."""
    import numpy as np

    booster = estimator.get_booster()
    if not np.isnan(estimator.missing):
        return None  # another number than NaN means missing
    if booster.num_features() == 0 or any(kind == "c" for kind in booster.feature_types or ()):
        return None
    raw = booster.save_raw("json")
    if len(raw) > _MOST_BYTES:
        return None
    learner = json.loads(raw)["learner"]
    parameters = learner["learner_model_param"]
    link = _XGBOOST_LINKS.get(learner["objective"]["name"])
    if link is None or learner["gradient_booster"]["name"] != "gbtree" or int(parameters["num_target"]) > 1:
        return None
    forest = learner["gradient_booster"]["model"]
    count = len(forest["trees"])
    if booster.attr("best_iteration") is not None:
        count = forest["iteration_indptr"][int(booster.attr("best_iteration")) + 1]
    listed = forest["trees"][:count]
    if any(tree["categories"] or int(tree["tree_param"]["size_leaf_vector"]) > 1 for tree in listed):
        return None
    if sum(len(tree["left_children"]) for tree in listed) > MOST_NODES:
        return None
    targets = max(1, int(parameters["num_class"]))
    score = np.array(json.loads(parameters["base_score"]), dtype=np.float32).reshape(-1)
    one = np.float32(1)
    match link:
        case "logistic":
            score = -np.log(one / score - one)
        case "exp":
            score = np.log(score)
        case _:
            pass
    return Ensemble(
        trees=tuple(
            _xgboost_tree(tree, target=target)
            for tree, target in zip(listed, forest["tree_info"][:count], strict=True)
        ),
        base=np.broadcast_to(score, (targets,)),
        features=int(parameters["num_feature"]),
        single=True,
        rounded=True,
        strict=True,
        link="identity" if classifies else link,
        decision="value" if not classifies else "positive" if targets == 1 else "greatest",
        classes=np.asarray(estimator.classes_) if classifies else None,
    )


def _xgboost_tree(tree: dict[str, Any], *, target: int) -> Tree:  # Any: JSON
    import numpy as np

    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    return Tree(
        target=target,
        feature=np.array(tree["split_indices"], dtype=np.int64),
        threshold=conditions,
        left=np.array(tree["left_children"], dtype=np.int64),
        right=np.array(tree["right_children"], dtype=np.int64),
        missing_left=np.array(tree["default_left"]),
        value=conditions,  # at leaves
    )
