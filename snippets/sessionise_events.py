# ---
# title: Cut events into sessions
# description: >-
#   One row a visit: a pause longer than the gap begins a new one. SQL does it in the warehouse, so that only sessions
#   are read and not every click.
# tags: [data, features, sql, time]
# placeholders:
#   sessions: {default: sessions, description: name of the DataFrame}
#   table: {default: events, description: table of the warehouse}
#   who: {default: user_id, description: column that says whose event it is}
#   time: {default: at, description: column that says when}
#   gap_minutes: {default: 30, description: minutes of silence that end a session}
#   from: {default: train_from, description: "parameter: first day, as YYYY-MM-DD"}
#   until: {default: test_until, description: "parameter: the day after the last, as YYYY-MM-DD"}
# ---
import pandas as pd

import rasen

__sessions__ = rasen.read_sql(
    """
    WITH paused AS (
      SELECT
        __who__,
        __time__,
        TIMESTAMP_DIFF(__time__, LAG(__time__) OVER (PARTITION BY __who__ ORDER BY __time__), MINUTE) AS pause
      FROM __table__
      WHERE __time__ >= @events_from AND __time__ < @events_until AND __who__ IS NOT NULL
    ),
    numbered AS (
      SELECT
        __who__,
        __time__,
        SUM(CASE WHEN pause <= @gap_minutes THEN 0 ELSE 1 END) OVER (
          PARTITION BY __who__ ORDER BY __time__ RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS session
      FROM paused
    )
    SELECT __who__, session, MIN(__time__) AS began, MAX(__time__) AS ended, COUNT(*) AS events
    FROM numbered
    GROUP BY __who__, session
    ORDER BY __who__, session
    """,
    {
        "events_from": pd.Timestamp(__from__, tz="UTC"),
        "events_until": pd.Timestamp(__until__, tz="UTC"),
        "gap_minutes": __gap_minutes__,
    },
    name="__table___sessions",
)
if __sessions__.empty:
    raise ValueError(f"__table__ has no events from {__from__} until {__until__}")
length = (__sessions__["ended"] - __sessions__["began"]).dt.total_seconds() / 60
print(f"{len(__sessions__):,} sessions, half of them longer than {length.median():.0f} minutes")
