# ---
# title: Read a table and check it
# description: >-
#   A query with typed parameters, then the schema that the rest of the notebook relies on. A row that does not fit
#   ends the run as validation_failed, before anything is trained.
# tags: [data, validation]
# placeholders:
#   rows: {default: rows, description: name of the DataFrame}
#   table: {default: flights, description: table of the warehouse}
#   time: {default: time_hour, description: column that says when}
#   key: {default: origin, description: column of text that must not be missing}
#   value: {default: dep_delay, description: column of numbers that may be missing}
#   from: {default: train_from, description: "parameter: first day, as YYYY-MM-DD"}
#   until: {default: test_until, description: "parameter: the day after the last, as YYYY-MM-DD"}
# ---
import pandas as pd
import pandera.pandas as pa

import rasen

__rows__ = rasen.read_sql(
    """
    SELECT __time__, __key__, __value__
    FROM __table__
    WHERE __time__ >= @rows_from AND __time__ < @rows_until
    """,
    {"rows_from": pd.Timestamp(__from__, tz="UTC"), "rows_until": pd.Timestamp(__until__, tz="UTC")},
    name="__table__",
)
schema = pa.DataFrameSchema(
    {
        "__time__": pa.Column("datetime64[us, UTC]"),
        "__key__": pa.Column(str),
        "__value__": pa.Column(float, nullable=True),
    },
    checks=pa.Check(lambda df: len(df) > 0, error="there is not a single row in that time"),
)
__rows__ = rasen.check(__rows__, schema)
print(f"{len(__rows__):,} rows, {__rows__['__value__'].isna().mean():.1%} of __value__ missing")
