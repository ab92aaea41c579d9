# ---
# title: Plot the residuals
# description: >-
#   Three looks at the errors: over the prediction (a slope is a bias), over time (a drift), and their distribution.
#   What should have no shape has none.
# tags: [evaluation, plot]
# placeholders:
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   target: {default: departures, description: column with what really was}
#   predicted: {default: predicted, description: column with the prediction}
#   time: {default: time_hour, description: column that says when}
# ---
import matplotlib.pyplot as plt

import rasen

residual = __held_out__["__target__"] - __held_out__["__predicted__"]
if residual.isna().any():
    raise ValueError(f"{residual.isna().sum():,} rows lack __target__ or __predicted__")
fig, (over, through, spread) = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
over.scatter(__held_out__["__predicted__"], residual, s=4, alpha=0.3)
over.set(xlabel="__predicted__", ylabel="really − predicted", title="over the prediction")
by_day = residual.groupby(__held_out__["__time__"].dt.floor("D")).mean()
through.plot(by_day.index, by_day, marker=".")
through.tick_params(axis="x", rotation=30)
through.set(title="mean of each day")
spread.hist(residual, bins=40)
spread.set(title=f"mean {residual.mean():.2f}, deviation {residual.std():.2f}", yticks=[])
for ax in (over, through):
    ax.axhline(0, color="black", linewidth=1)
rasen.log_figure(fig, "residuals")
