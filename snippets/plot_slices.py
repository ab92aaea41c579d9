# ---
# title: Plot the error by slice
# description: >-
#   Model beside profile for each value of a column, the most frequent values first: who earns the margin, and who
#   pays for it. Slices of few rows are left out, since their error is luck.
# tags: [evaluation, plot]
# placeholders:
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   target: {default: departures, description: column with what really was}
#   predicted: {default: predicted, description: column with the model's prediction}
#   profile: {default: profile, description: column with the profile's prediction}
#   by: {default: origin, description: column by whose values}
#   fewest_rows: {default: 30, description: rows that a slice must have}
# ---
import matplotlib.pyplot as plt
import numpy as np

import rasen

sizes = __held_out__["__by__"].value_counts()
shown = sizes[sizes >= __fewest_rows__].index[:20]
if shown.empty:
    raise ValueError("no value of __by__ has __fewest_rows__ rows")
gaps = __held_out__[["__profile__", "__predicted__"]].sub(__held_out__["__target__"], axis=0)
rmse = np.sqrt((gaps**2).groupby(__held_out__["__by__"]).mean()).loc[shown]
fig, ax = plt.subplots(figsize=(9, 3))
rmse.plot.bar(ax=ax, color=["gray", "tab:blue"], width=0.7, rot=0)
ax.legend(["profile", "model"], frameon=False)
losing = rmse.index[rmse["__predicted__"] > rmse["__profile__"]]
ax.set(ylabel="RMSE", title=f"the model loses at {', '.join(map(str, losing)) or 'none'}")
rasen.log_figure(fig, "slices")
