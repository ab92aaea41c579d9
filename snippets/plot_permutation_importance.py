# ---
# title: Plot the permutation importance
# description: >-
#   How much worse the predictions become when one input is shuffled among the held-out rows: what the model rests on.
#   Works with anything that predicts. Two inputs that say the same stand in for each other, and both look
#   unimportant.
# tags: [explanation, plot]
# placeholders:
#   model: {default: model, description: the fitted model}
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   inputs: {default: inputs, description: list of the model's columns}
#   target: {default: departures, description: column with what really was}
#   repeats: {default: 3, description: how often each input is shuffled}
#   seed: {default: seed, description: "parameter: of the shuffling"}
# ---
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import root_mean_squared_error

import rasen

if len(__held_out__) < 2:
    raise ValueError("there is nothing to shuffle in fewer than two rows")
rng = np.random.default_rng(__seed__)


def rmse(rows):
    """Return the error of the model on some rows."""
    return root_mean_squared_error(__held_out__["__target__"], __model__.predict(rows))


def shuffled(name):
    """Return the inputs with one column in another order."""
    column = __held_out__[name].iloc[rng.permutation(len(__held_out__))]
    return __held_out__[__inputs__].assign(**{name: column.array})


unharmed = rmse(__held_out__[__inputs__])
worse = {name: [rmse(shuffled(name)) - unharmed for _ in range(__repeats__)] for name in __inputs__}
importance = pd.DataFrame(worse).T.agg(["mean", "std"], axis=1).sort_values("mean")
fig, ax = plt.subplots(figsize=(9, 0.6 + 0.3 * len(importance)))
ax.barh(importance.index, importance["mean"], xerr=importance["std"].fillna(0), color="tab:blue")
ax.set(xlabel=f"how much RMSE {unharmed:.2f} grows when the input is shuffled")
rasen.log_figure(fig, "permutation_importance")
