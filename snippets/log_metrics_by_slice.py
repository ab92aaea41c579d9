# ---
# title: Log metrics, overall and by slice
# description: >-
#   The numbers that gates read, for all held-out rows and for each value of a column: a model that wins on average
#   may lose at one airport. The profile's numbers stand beside the model's, so that `better_than: profile_rmse` can
#   be a gate.
# tags: [evaluation, metrics]
# placeholders:
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   target: {default: departures, description: column with what really was}
#   predicted: {default: predicted, description: column with the model's prediction}
#   profile: {default: profile, description: column with the profile's prediction}
#   by: {default: origin, description: column of few different values}
# ---
import pandas as pd
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

import rasen


def errors(rows):
    """Return the errors of model and profile on some rows."""
    actual, predicted, profile = rows["__target__"], rows["__predicted__"], rows["__profile__"]
    return {
        "rmse": root_mean_squared_error(actual, predicted),
        "profile_rmse": root_mean_squared_error(actual, profile),
        "mae": mean_absolute_error(actual, predicted),
        "profile_mae": mean_absolute_error(actual, profile),
    }


overall = errors(__held_out__)
rasen.log_metrics(**overall)
by_slice = {value: errors(rows) for value, rows in __held_out__.groupby("__by__")}
if not by_slice:
    raise ValueError("__by__ is missing in every row")
for value, numbers in by_slice.items():
    rasen.log_metrics(slice={"__by__": str(value)}, **numbers)
pd.DataFrame({"all": overall, **by_slice}).T.round(3)
