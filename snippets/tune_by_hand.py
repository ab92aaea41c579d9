# ---
# title: Try a few values of a setting
# description: >-
#   For two or three settings that matter: each value learns from the same past and is judged on the same days after
#   it. The held-out rows stay unseen. A setting that changes the error by less than the folds differ is best left
#   alone.
# tags: [training, tuning]
# placeholders:
#   model: {default: model, description: "a model that is not fitted yet, of scikit-learn or XGBoost"}
#   setting: {default: max_depth, description: "name of the setting; of a pipeline's part: part__name"}
#   values: {default: "[3, 5, 7]", type: expression, description: values to try}
#   train: {default: train, description: "DataFrame with the rows before the held-out ones"}
#   inputs: {default: inputs, description: list of the model's columns}
#   target: {default: departures, description: column that is predicted}
#   time: {default: time_hour, description: column that says when}
#   validation_from: {default: validation_from, description: "parameter: first day to choose on, as YYYY-MM-DD"}
# ---
import pandas as pd
from sklearn.base import clone
from sklearn.metrics import root_mean_squared_error

import rasen

is_validation = __train__["__time__"] >= pd.Timestamp(__validation_from__, tz="UTC")
learning, validation = __train__[~is_validation], __train__[is_validation]
if learning.empty or validation.empty:
    raise ValueError(
        f"one side of {__validation_from__} is empty: {len(learning)} and {len(validation)} rows"
    )
errors = {}
for value in __values__:
    tried = clone(__model__).set_params(__setting__=value)
    tried.fit(learning[__inputs__], learning["__target__"])
    errors[value] = root_mean_squared_error(validation["__target__"], tried.predict(validation[__inputs__]))
    rasen.log_metrics(slice={"__setting__": str(value)}, validation_rmse=errors[value])
best = min(errors, key=errors.get)
model = clone(__model__).set_params(__setting__=best).fit(__train__[__inputs__], __train__["__target__"])
print(f"__setting__ {best}: RMSE {errors[best]:.3f}; the worst of them {max(errors.values()):.3f}")
pd.Series(errors, name="validation RMSE").rename_axis("__setting__").to_frame()
