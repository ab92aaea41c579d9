# ---
# title: List the worst rows
# description: >-
#   The predictions that were furthest off, with everything that the model knew. Ten minutes with them find more than
#   a day with averages: wrong data, a missing input, a holiday.
# tags: [evaluation, explanation]
# placeholders:
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   target: {default: departures, description: column with what really was}
#   predicted: {default: predicted, description: column with the prediction}
#   columns: {default: [origin, time_hour], description: columns to show beside}
#   most: {default: 15, description: number of rows}
# ---
if __held_out__["__predicted__"].isna().any():
    raise ValueError("some rows have no prediction: that is worse than a wrong one")
worst = __held_out__.assign(gap=__held_out__["__target__"] - __held_out__["__predicted__"])
worst = worst.sort_values("gap", key=abs, ascending=False, na_position="last").head(__most__)
share = (worst["gap"] ** 2).sum() / ((__held_out__["__target__"] - __held_out__["__predicted__"]) ** 2).sum()
print(f"{len(worst)} of {len(__held_out__):,} rows make {share:.0%} of the squared error")
worst[[*__columns__, "__target__", "__predicted__", "gap"]]
