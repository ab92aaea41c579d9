# ---
# title: Plot the calibration
# description: >-
#   Can a probability be taken at its word? Rows are sorted by it into groups of one size; a point on the diagonal
#   keeps its promise. The mean distance from the diagonal is logged.
# tags: [evaluation, plot]
# placeholders:
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   target: {default: late, description: column of 0 and 1}
#   predicted: {default: predicted, description: column with the probability}
#   groups: {default: 10, description: number of groups}
# ---
import matplotlib.pyplot as plt
import pandas as pd

import rasen

if not __held_out__["__predicted__"].between(0, 1).all() or not __held_out__["__target__"].isin([0, 1]).all():
    raise ValueError("__predicted__ must hold probabilities and __target__ 0 or 1, in every row")
group = pd.qcut(__held_out__["__predicted__"], __groups__, duplicates="drop")
by_group = __held_out__.groupby(group, observed=True).agg(
    forecast=("__predicted__", "mean"), share=("__target__", "mean"), rows=("__target__", "size")
)
distance = ((by_group["forecast"] - by_group["share"]).abs() * by_group["rows"]).sum() / len(__held_out__)
rasen.log_metrics(calibration_error=distance)
fig, ax = plt.subplots(figsize=(4, 3.6))
ax.axline((0, 0), slope=1, color="black", linestyle=":", linewidth=1)
ax.plot(by_group["forecast"], by_group["share"], marker="o")
ax.set(xlabel="forecast", ylabel="share of __target__", title=f"{distance:.3f} from the diagonal")
rasen.log_figure(fig, "calibration")
