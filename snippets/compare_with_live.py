# ---
# title: Compare with the live version
# description: >-
#   Both versions on the same held-out rows, before anything is published. Days are drawn, not rows, for the errors of
#   one day go together; the interval says whether the difference is more than luck. The rows must be later than what
#   either learned from. In pipeline.yaml the step declares `models: [<endpoint>]`. A first version has nothing to be
#   compared with.
# tags: [evaluation, metrics]
# placeholders:
#   model: {default: model, description: the new model}
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   inputs: {default: inputs, description: list of the new model's columns}
#   target: {default: departures, description: column with what really was}
#   time: {default: time_hour, description: column that says when}
#   endpoint: {default: flight_demand, description: name of the endpoint}
#   seed: {default: seed, description: "parameter: of the drawing"}
# ---
import numpy as np

import rasen
from rasen.errors import NotFound

try:
    live = rasen.load_model("__endpoint__")
except NotFound as error:
    live = None
    print(f"nothing to compare with: {error}")
if live is not None:
    actual = __held_out__["__target__"].to_numpy()
    squares = {
        "rmse": (__model__.predict(__held_out__[__inputs__]) - actual) ** 2,
        "live_rmse": (live.predict(__held_out__) - actual) ** 2,
    }
    rasen.log_metrics(**{name: np.sqrt(each.mean()) for name, each in squares.items()})
    days = __held_out__["__time__"].dt.floor("D").to_numpy()
    by_day = [np.flatnonzero(days == day) for day in np.unique(days)]
    if len(by_day) < 5:
        raise ValueError(f"{len(by_day)} days are too few to tell a difference from luck")
    rng = np.random.default_rng(__seed__)
    drawn = [
        np.concatenate([by_day[i] for i in rng.integers(len(by_day), size=len(by_day))]) for _ in range(1000)
    ]
    gains = [np.sqrt(squares["live_rmse"][i].mean()) - np.sqrt(squares["rmse"][i].mean()) for i in drawn]
    low, high = np.quantile(gains, [0.025, 0.975])
    verdict = "better" if low > 0 else "worse" if high < 0 else "no clear difference"
    print(f"RMSE lower by {low:.3f} to {high:.3f} than that of run {live.run}: {verdict}")
