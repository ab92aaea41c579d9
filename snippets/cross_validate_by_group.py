# ---
# title: Cross-validate over unseen groups
# description: >-
#   When the model will meet customers, shops or airports that it never saw: no group is in both sides of a fold. For
#   groups that it knows, split by time instead.
# tags: [evaluation, training]
# placeholders:
#   model: {default: model, description: "a model that is not fitted yet, with fit and predict"}
#   train: {default: train, description: DataFrame to learn from}
#   inputs: {default: inputs, description: list of the model's columns}
#   target: {default: departures, description: column that is predicted}
#   group: {default: origin, description: column that names the group}
#   folds: {default: 3, description: how often}
# ---
import numpy as np
from sklearn.base import clone
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import GroupKFold

import rasen

groups = __train__["__group__"]
if groups.isna().any() or groups.nunique() < __folds__:
    raise ValueError(
        f"{groups.nunique()} values of __group__ are too few for __folds__ folds, or some are missing"
    )
errors = {}
for fold, (known, unseen) in enumerate(
    GroupKFold(n_splits=__folds__).split(__train__, groups=groups), start=1
):
    learning, judged = __train__.iloc[known], __train__.iloc[unseen]
    fitted = clone(__model__).fit(learning[__inputs__], learning["__target__"])
    errors[fold] = root_mean_squared_error(judged["__target__"], fitted.predict(judged[__inputs__]))
    rasen.log_metrics(slice={"fold": fold}, unseen_rmse=errors[fold])
    print(f"RMSE {errors[fold]:.3f} on {', '.join(map(str, judged['__group__'].unique()[:5]))}")
rasen.log_metrics(unseen_rmse=np.mean(list(errors.values())))
