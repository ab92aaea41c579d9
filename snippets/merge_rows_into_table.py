# ---
# title: Merge rows into a table of the warehouse
# description: >-
#   New rows replace those of the same key, all others stay. Runs everywhere: the run saves the whole table, and
#   `tables:` in pipeline.yaml shows it (`tables: {daily_scores: {step: score, table: daily_scores}}`) only if the run
#   succeeds. What is older than the first day is left behind, so that the table does not grow for ever.
# tags: [data, tables]
# placeholders:
#   rows: {default: rows, description: DataFrame with the new rows}
#   table: {default: daily_scores, description: "table of the warehouse, which must be there once"}
#   keys: {default: [origin, time_hour], description: columns that together name a row}
#   columns: {default: [origin, time_hour, score], description: "all columns of the table, the keys among them"}
#   time: {default: time_hour, description: column that says when}
#   keep_from: {default: train_from, description: "parameter: first day that stays in the table, as YYYY-MM-DD"}
# ---
import pandas as pd

import rasen

keys, columns = __keys__, __columns__
present = rasen.read_sql(
    """
    SELECT __columns__
    FROM __table__
    WHERE __time__ >= @keep_from
    """,
    {"keep_from": pd.Timestamp(__keep_from__, tz="UTC")},
    name="present___table__",
    accept=["rows: more"],  # a table that every run may add to
)
for name, table in {"table": present, "new rows": __rows__}.items():
    if table.duplicated(keys).any():
        raise ValueError(f"the {name} hold a key twice, so it is not clear which row counts: __keys__")
merged = pd.concat([present, __rows__[columns]], ignore_index=True).drop_duplicates(keys, keep="last")
merged = merged.sort_values(keys, ignore_index=True)
rasen.save_table("__table__", merged)
added = len(merged) - len(present)
print(
    f"{added:,} rows added, {len(__rows__) - added:,} replaced, {len(present) - len(__rows__) + added:,} kept"
)
