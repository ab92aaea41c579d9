# ---
# title: Split rows by time
# description: >-
#   Learn from everything before an instant and judge on what came after it. A random split would let the model see
#   the neighbours of the rows that it is judged on, and promise more than it keeps.
# tags: [evaluation, training]
# placeholders:
#   rows: {default: rows, description: DataFrame to split}
#   time: {default: time_hour, description: "column that says when, with a time zone"}
#   test_from: {default: test_from, description: "parameter: first held-out day, as YYYY-MM-DD"}
# ---
import pandas as pd

held_out_from = pd.Timestamp(__test_from__, tz="UTC")
if __rows__["__time__"].isna().any():
    raise ValueError("rows without __time__ belong to neither side: drop them or find out why they are there")
is_held_out = __rows__["__time__"] >= held_out_from
train, held_out = __rows__[~is_held_out], __rows__[is_held_out]
if train.empty or held_out.empty:
    raise ValueError(f"one side of {held_out_from} is empty: {len(train)} rows before, {len(held_out)} after")
print(
    f"train: {len(train):,} rows until {train['__time__'].max()}, "
    f"held out: {len(held_out):,} from {held_out['__time__'].min()} on"
)
