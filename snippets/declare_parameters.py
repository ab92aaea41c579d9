# ---
# title: Declare the parameters
# description: >-
#   The cell that a run fills in. Each value is a literal with a type, so that a wrong one is refused before anything
#   runs. A fixed day would make a nightly run learn from the same window for ever: pipeline.yaml moves it with
#   `parameters: {train_from: "@scheduled-180d", validation_from: "@scheduled-60d", test_from: "@scheduled-30d",
#   test_until: "@scheduled"}`.
# tags: [parameters, start]
# cell: {type: code, tags: [parameters]}
# placeholders:
#   first_day: {default: "2013-01-01", description: "first day to learn from, as YYYY-MM-DD"}
#   validation_day: {default: "2013-08-01", description: "first day to choose on, as YYYY-MM-DD"}
#   test_day: {default: "2013-09-01", description: "first held-out day, as YYYY-MM-DD"}
#   end_day: {default: "2013-10-01", description: "the day after the last, as YYYY-MM-DD"}
#   seed: {default: 7, description: whole number that makes random choices repeatable}
# ---
train_from: str = "__first_day__"  # first day to learn from
validation_from: str = "__validation_day__"  # features and settings are chosen on the time from here on
test_from: str = "__test_day__"  # the model learns from everything before; the rest is held out
test_until: str = "__end_day__"  # the day after the last that is read
seed: int = __seed__  # of everything random
