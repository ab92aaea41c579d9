# ---
# title: Add local weekday, hour and day
# description: >-
#   Instants come from the warehouse in UTC; people fly, shop and sleep by the local clock, which jumps twice a year.
#   The calendar columns are whole numbers, so that they are the same in training, in scoring and in a request.
# tags: [data, features, time]
# placeholders:
#   rows: {default: rows, description: the DataFrame}
#   time: {default: time_hour, description: column that says when}
#   zone: {default: America/New_York, description: "time zone, as Area/City"}
# ---
if getattr(__rows__["__time__"].dtype, "tz", None) is None:
    raise ValueError("__time__ is no instant with a time zone: read it from the warehouse as TIMESTAMP")
local = __rows__["__time__"].dt.tz_convert("__zone__")
__rows__ = __rows__.assign(
    weekday=local.dt.day_of_week.astype("int64"),  # 0 is Monday
    hour=local.dt.hour.astype("int64"),
    day=local.dt.tz_localize(None).dt.floor("D"),
)
print(f"local days from {__rows__['day'].min():%d %B %Y} to {__rows__['day'].max():%d %B %Y}")
