# ---
# title: Cross-validate in the order of time
# description: >-
#   Several times: learn from the past, be judged on the days after it. Whole days are split, because rows of one day
#   know of each other. The spread over the folds says how much of a difference between two models is luck.
# tags: [evaluation, time, training]
# placeholders:
#   model: {default: model, description: "a model that is not fitted yet, with fit and predict"}
#   train: {default: train, description: "DataFrame with the rows before the held-out ones"}
#   inputs: {default: inputs, description: list of the model's columns}
#   target: {default: departures, description: column that is predicted}
#   time: {default: time_hour, description: column that says when}
#   folds: {default: 4, description: how often}
#   gap_days: {default: 0, description: days between the past and the judged days that nobody uses}
# ---
import numpy as np
from sklearn.base import clone
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import TimeSeriesSplit

import rasen

day_of_row = __train__["__time__"].dt.floor("D")
days = np.sort(day_of_row.unique())
if day_of_row.isna().any() or len(days) < 2 * (__folds__ + 1):
    raise ValueError(f"{len(days)} days are too few for __folds__ folds, or rows lack __time__")
errors = []
for past, future in TimeSeriesSplit(n_splits=__folds__, gap=__gap_days__).split(days):
    learning, judged = __train__[day_of_row.isin(days[past])], __train__[day_of_row.isin(days[future])]
    fitted = clone(__model__).fit(learning[__inputs__], learning["__target__"])
    errors.append(root_mean_squared_error(judged["__target__"], fitted.predict(judged[__inputs__])))
    rasen.log_metrics(slice={"fold": len(errors)}, validation_rmse=errors[-1])
rasen.log_metrics(validation_rmse=np.mean(errors))
print(
    f"RMSE {np.mean(errors):.3f} ± {np.std(errors):.3f}, by fold: {', '.join(f'{each:.3f}' for each in errors)}"
)
