# ---
# title: Train XGBoost with early stopping
# description: >-
#   The number of trees is chosen on the newest part of the training time, never on the held-out rows; then the model
#   learns once more from everything before them. Missing numbers stay missing; a text that was never seen gets no
#   column.
# tags: [training, xgboost]
# placeholders:
#   train: {default: train, description: "DataFrame with the rows before the held-out ones"}
#   texts: {default: [origin], description: columns of text among the inputs}
#   inputs: {default: inputs, description: list of the model's columns}
#   target: {default: departures, description: column that is predicted}
#   time: {default: time_hour, description: column that says when}
#   validation_from: {default: validation_from, description: "parameter: first day to choose on, as YYYY-MM-DD"}
#   objective:
#     default: "count:poisson"
#     description: what is learned
#     choices: ["count:poisson", "reg:squarederror", "reg:absoluteerror"]
#   seed: {default: seed, description: "parameter: of the sampling of rows and columns"}
# ---
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from xgboost import XGBRegressor

import rasen

is_validation = __train__["__time__"] >= pd.Timestamp(__validation_from__, tz="UTC")
learning, validation = __train__[~is_validation], __train__[is_validation]
if learning.empty or validation.empty:
    raise ValueError(
        f"one side of {__validation_from__} is empty: {len(learning)} and {len(validation)} rows"
    )


def boost(trees, **options):
    """Return an untrained model of some trees."""
    return XGBRegressor(
        objective="__objective__",
        n_estimators=trees,
        max_depth=6,
        learning_rate=0.05,
        subsample=0.8,
        colsample_bytree=0.8,
        n_jobs=1,
        random_state=__seed__,
        **options,
    )


encode = ColumnTransformer(
    [("texts", OneHotEncoder(handle_unknown="ignore"), __texts__)], remainder="passthrough"
)
search = boost(2000, early_stopping_rounds=30, eval_metric="rmse")
search.fit(
    encode.fit_transform(learning[__inputs__]),
    learning["__target__"],
    eval_set=[(encode.transform(validation[__inputs__]), validation["__target__"])],
    verbose=False,
)
trees = search.best_iteration + 1
rasen.log_metrics(validation_rmse=search.best_score, trees=trees)
model = Pipeline([("encode", encode), ("trees", boost(trees))]).fit(
    __train__[__inputs__], __train__["__target__"]
)
print(f"{trees} trees: RMSE {search.best_score:.3f} from {__validation_from__} on")
