# ---
# title: Compute window features in SQL
# description: >-
#   The value before and the mean of the last ones, per key. Frames end one row before the row itself, so that no
#   feature holds what is to be predicted. Begin reading earlier than you learn: the first rows have no past and stay
#   empty.
# tags: [data, features, sql, time]
# placeholders:
#   rows: {default: rows, description: name of the DataFrame}
#   table: {default: flights, description: table of the warehouse}
#   key: {default: origin, description: "column whose rows follow one another, such as the airport"}
#   time: {default: time_hour, description: column that says when}
#   value: {default: dep_delay, description: column of numbers to look back on}
#   past: {default: 24, description: how many earlier rows the mean is of}
#   from: {default: train_from, description: "parameter: first day, as YYYY-MM-DD"}
#   until: {default: test_until, description: "parameter: the day after the last, as YYYY-MM-DD"}
# ---
import pandas as pd

import rasen

__rows__ = rasen.read_sql(
    """
    WITH by_time AS (
      SELECT __key__, __time__, COUNT(*) AS events, AVG(__value__) AS __value__
      FROM __table__
      WHERE __time__ >= @rows_from AND __time__ < @rows_until
      GROUP BY __key__, __time__
    )
    SELECT
      __key__,
      __time__,
      events,
      __value__,
      LAG(__value__) OVER (PARTITION BY __key__ ORDER BY __time__) AS previous___value__,
      AVG(__value__) OVER (
        PARTITION BY __key__ ORDER BY __time__ ROWS BETWEEN __past__ PRECEDING AND 1 PRECEDING
      ) AS recent___value__
    FROM by_time
    ORDER BY __key__, __time__
    """,
    {"rows_from": pd.Timestamp(__from__, tz="UTC"), "rows_until": pd.Timestamp(__until__, tz="UTC")},
    name="__table___windows",
)
if __rows__.empty:
    raise ValueError(f"__table__ has no rows from {__from__} until {__until__}")
print(f"{len(__rows__):,} rows, {__rows__['recent___value__'].isna().mean():.1%} without a past")
