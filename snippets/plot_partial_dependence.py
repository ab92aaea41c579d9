# ---
# title: Plot the partial dependence
# description: >-
#   What the model answers on average when one input takes each of its values and everything else stays: the shape
#   that it has learned. Values between the 1st and the 99th percentile only, where there are rows to learn from.
# tags: [explanation, plot]
# placeholders:
#   model: {default: model, description: the fitted model}
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   inputs: {default: inputs, description: list of the model's columns}
#   column: {default: hour, description: input of numbers to vary}
#   points: {default: 20, description: number of values}
#   seed: {default: seed, description: "parameter: of the drawing of rows"}
# ---
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rasen

if not pd.api.types.is_numeric_dtype(__held_out__["__column__"]):
    raise ValueError(f"__column__ is {__held_out__['__column__'].dtype}; only numbers have a curve")
drawn = __held_out__[__inputs__].sample(min(1000, len(__held_out__)), random_state=__seed__)
low, high = drawn["__column__"].quantile([0.01, 0.99])
present = drawn["__column__"].dropna().unique()
grid = np.sort(present) if len(present) <= __points__ else np.linspace(low, high, __points__)
grid = np.unique(grid.astype(__held_out__["__column__"].dtype))  # an hour of 7.5 was never seen
curve = [__model__.predict(drawn.assign(__column__=value)).mean() for value in grid]
fig, ax = plt.subplots(figsize=(9, 2.8))
ax.plot(grid, curve, marker=".")
ax.plot(drawn["__column__"], np.full(len(drawn), min(curve)), "|", color="gray", alpha=0.3)
ax.set(xlabel="__column__", ylabel="mean prediction", title=f"from {min(curve):.2f} to {max(curve):.2f}")
rasen.log_figure(fig, "partial_dependence___column__")
