# ---
# title: Plot the drift between two times
# description: >-
#   How far each input has moved, as the population stability index between the rows before and after an instant:
#   below 0.1 is nothing, above 0.25 worth a look. Missing values and texts never seen before count as groups of their
#   own.
# tags: [drift, plot, validation]
# placeholders:
#   rows: {default: rows, description: DataFrame of both times}
#   columns: {default: inputs, type: name, description: list of the columns to compare}
#   time: {default: time_hour, description: "column that says when, with a time zone"}
#   from: {default: test_from, description: "parameter: first day of the later time, as YYYY-MM-DD"}
# ---
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import rasen

is_later = __rows__["__time__"] >= pd.Timestamp(__from__, tz="UTC")
before, after = __rows__[~is_later], __rows__[is_later]
if before.empty or after.empty:
    raise ValueError(f"one side of {__from__} is empty: {len(before)} rows before, {len(after)} after")


def stability_index(name):
    """Return the population stability index of a column."""
    groups = __rows__[name]
    if pd.api.types.is_numeric_dtype(groups) and groups.nunique() > 10:
        edges = np.unique(before[name].quantile(np.linspace(0, 1, 11)[1:-1]))
        groups = pd.cut(groups, [-np.inf, *edges, np.inf])
    shares = pd.crosstab(groups.astype("string").fillna("missing"), is_later, normalize="columns")
    shares = shares.clip(lower=1e-4)  # a group that is empty on one side would be infinitely far
    return ((shares[True] - shares[False]) * np.log(shares[True] / shares[False])).sum()


drift = pd.Series({name: stability_index(name) for name in __columns__}).sort_values()
rasen.log_metrics(largest_drift=drift.max())
fig, ax = plt.subplots(figsize=(9, 0.6 + 0.3 * len(drift)))
ax.barh(drift.index, drift, color=np.where(drift > 0.25, "tab:orange", "tab:blue"))
ax.axvline(0.25, color="black", linestyle=":")
ax.set(xlabel="population stability index", title=f"most moved: {drift.index[-1]}, {drift.iloc[-1]:.2f}")
rasen.log_figure(fig, "drift")
