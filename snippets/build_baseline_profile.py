# ---
# title: Build the profile to beat
# description: >-
#   The mean of each group, learned from the training rows only: what a planner with a spreadsheet would use, the
#   yardstick of the gates and the answer of serving when the model cannot. Few columns, coarsest first; a group that
#   was never seen gets the mean of the coarser one.
# tags: [evaluation, profile, training]
# placeholders:
#   train: {default: train, description: DataFrame to learn from}
#   held_out: {default: held_out, description: DataFrame with later rows}
#   by: {default: [origin, hour], description: "columns of the request, coarsest first"}
#   target: {default: departures, description: column that is predicted}
# ---
from sklearn.metrics import root_mean_squared_error

import rasen

profile = rasen.build_profile(__train__, by=__by__, target="__target__")
__held_out__ = __held_out__.assign(profile=profile.predict(__held_out__))
profile_rmse = root_mean_squared_error(__held_out__["__target__"], __held_out__["profile"])
rasen.log_metrics(profile_rmse=profile_rmse)
print(
    f"profile by __by__: RMSE {profile_rmse:.2f}, {profile.coverage(__held_out__):.0%} of the rows in a known group"
)
