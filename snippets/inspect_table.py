# ---
# title: Look at a table
# description: >-
#   One line a column: type, share of missing values, number of different ones, least and greatest. Rows that repeat
#   the key are refused, because every count and every join after them would be wrong.
# tags: [data, validation]
# placeholders:
#   rows: {default: rows, description: the DataFrame}
#   keys: {default: [origin, time_hour], description: columns that together name a row}
# ---
import pandas as pd

repeated = int(__rows__.duplicated(__keys__).sum())
if repeated:
    raise ValueError(
        f"{repeated:,} of {len(__rows__):,} rows repeat __keys__: sum them up, or name more columns"
    )


def describe(column):
    """Return what there is to know about a column at a glance."""
    present = column.dropna()
    least, greatest = (present.min(), present.max()) if len(present) else (None, None)
    return {
        "type": str(column.dtype),
        "missing": f"{column.isna().mean():.1%}",
        "different": present.nunique(),
        "least": least,
        "greatest": greatest,
    }


print(f"{len(__rows__):,} rows, {__rows__.shape[1]} columns")
columns = pd.DataFrame({name: describe(__rows__[name]) for name in __rows__}).T
columns
