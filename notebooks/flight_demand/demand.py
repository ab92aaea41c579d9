"""One row per airport and hour: what is known two hours before the hour begins, and the departures in it.

The last hour that is complete two hours before hour h is h−3: h−2 has just begun. So nothing observed later than h−3
enters a row; only the published schedule looks ahead. The file stands, byte for byte, in `flight_demand` and in
`flight_demand_scores`: a pipeline's folder is all that a run gets, and scoring must see exactly what training saw.
"""

import pandas as pd

ZONE = "America/New_York"
FIRST_HOUR = 5  # one flight of the year was due between 1 and 5 o'clock
KEYS = ["origin", "time_hour"]

INPUTS = [
    "origin",
    "weekday",
    "hour",
    "recent_departures",
    "usual_departures",
    "due_if_early",
    "due_if_late",
    "due_before",
    "backlog",
    "delay_minutes",
    "wind_speed",
    "visibility",
    "precipitation",
]

SCHEDULE_SQL = """
SELECT
  origin,
  time_hour,
  COUNT(*) AS scheduled,
  COUNTIF(minute < 5) AS first_minutes,
  COUNTIF(minute >= 40) AS last_minutes
FROM flights
WHERE time_hour >= @history_from AND time_hour < @scheduled_until
GROUP BY origin, time_hour
"""

# A flight counts in the hour in which it left, whenever it was due.
DEPARTURES_SQL = """
SELECT
  origin,
  TIMESTAMP_TRUNC(TIMESTAMP_ADD(time_hour, INTERVAL minute + dep_delay MINUTE), HOUR) AS departed_hour,
  COUNT(*) AS departures,
  AVG(dep_delay) AS observed_delay
FROM flights
WHERE dep_delay IS NOT NULL
  AND time_hour >= @history_from
  AND TIMESTAMP_ADD(time_hour, INTERVAL minute + dep_delay MINUTE) < @observed_until
GROUP BY origin, departed_hour
"""

# A wind of 1,048 miles an hour stands in the records: a broken instrument is a missing value.
WEATHER_SQL = """
SELECT
  origin,
  time_hour,
  CASE WHEN wind_speed < 100 THEN wind_speed END AS observed_wind,
  visib AS observed_visibility,
  precip AS observed_precipitation
FROM weather
WHERE time_hour >= @history_from AND time_hour < @observed_until
"""


def local_time(text: str) -> pd.Timestamp:
    """Return the instant that a day or a time names in New York."""
    return pd.Timestamp(text, tz=ZONE)


def build_hours(schedule: pd.DataFrame, departures: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each airport and hour of the schedule: `INPUTS`, `time_hour` and `departures`."""
    every_hour = pd.date_range(schedule["time_hour"].min(), schedule["time_hour"].max(), freq="h")
    grid = pd.MultiIndex.from_product([sorted(schedule["origin"].unique()), every_hour], names=KEYS)
    hours = grid.to_frame(index=False)
    departures = departures.rename(columns={"departed_hour": "time_hour"})
    for table in (schedule, departures, weather):
        hours = hours.merge(table, on=KEYS, how="left")
    counts = ["scheduled", "first_minutes", "last_minutes", "departures"]
    hours[counts] = hours[counts].fillna(0).astype("int64")

    local = hours["time_hour"].dt.tz_convert(ZONE)
    hours["weekday"] = local.dt.day_of_week.astype("int64")
    hours["hour"] = local.dt.hour.astype("int64")
    _add_schedule(hours)
    _add_observations(hours, service_day=(local.dt.tz_localize(None) - pd.Timedelta(hours=4)).dt.floor("D"))
    return hours.loc[hours["hour"] >= FIRST_HOUR, ["time_hour", *INPUTS, "departures"]].reset_index(drop=True)


def _add_schedule(hours: pd.DataFrame) -> None:
    """Read the schedule twice: every flight leaves five minutes early, or twenty minutes late."""
    airport = hours.groupby("origin")
    next_first = airport["first_minutes"].shift(-1, fill_value=0)
    hours["due_if_early"] = hours["scheduled"] - hours["first_minutes"] + next_first
    before_last = airport["last_minutes"].shift(1, fill_value=0)
    hours["due_if_late"] = hours["scheduled"] - hours["last_minutes"] + before_last
    hours["due_before"] = airport["scheduled"].shift(1, fill_value=0)


def _add_observations(hours: pd.DataFrame, *, service_day: pd.Series) -> None:
    """Add what was seen until the end of hour h−3, and the mean of the same hour in the last four weeks."""
    today = hours.groupby(["origin", service_day])
    hours["overdue"] = today["scheduled"].cumsum() - today["departures"].cumsum()
    airport = hours.groupby("origin")
    hours["recent_departures"] = airport["departures"].shift(3, fill_value=0)
    hours["backlog"] = airport["overdue"].shift(3, fill_value=0)
    for name, observed in {
        "delay_minutes": "observed_delay",
        "wind_speed": "observed_wind",
        "visibility": "observed_visibility",
        "precipitation": "observed_precipitation",
    }.items():
        hours[name] = airport[observed].shift(3)
    same_hour = hours.groupby(["origin", "weekday", "hour"])["departures"]
    last_weeks = [same_hour.shift(week) for week in (1, 2, 3, 4)]
    hours["usual_departures"] = pd.concat(last_weeks, axis=1).mean(axis=1)
