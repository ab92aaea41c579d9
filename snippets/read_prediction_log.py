# ---
# title: Read the prediction log
# description: >-
#   One row an answer of an endpoint: when, by which version, what was asked and what was said, for days that you
#   name. Cell by cell on a machine that holds the store (`RASEN_HOME`): a run is given no store, and a log in
#   BigQuery is read there. It was written by serving and signed by nobody: good for looking, not for proving.
# tags: [monitoring, serving]
# placeholders:
#   log: {default: answers, description: name of the DataFrame}
#   endpoint: {default: flight_demand, description: name of the endpoint}
#   first_day: {default: "2026-01-01", description: "first day, UTC, as YYYY-MM-DD"}
#   last_day: {default: "2026-01-31", description: "last day, UTC, as YYYY-MM-DD"}
# ---
import io
import json

import pandas as pd

from rasen.settings import load_settings
from rasen.store import open_store

store = open_store(load_settings())
parts = []
for day in pd.date_range("__first_day__", "__last_day__"):
    for found in store.list(f"predictions/__endpoint__/date={day:%Y-%m-%d}/"):
        parts.append(pd.read_parquet(io.BytesIO(store.read(found.key))))
if not parts:
    raise LookupError(
        "nobody asked __endpoint__ from __first_day__ to __last_day__, or the log is not in this store"
    )
__log__ = pd.concat(parts, ignore_index=True).sort_values(["at", "request_id", "row"], ignore_index=True)
asked = pd.DataFrame([json.loads(each) for each in __log__["inputs"]]).add_prefix("input_")
__log__ = __log__.join(asked)
by_source = ", ".join(
    f"{share:.1%} {source}" for source, share in __log__["source"].value_counts(normalize=True).items()
)
print(f"{len(__log__):,} answers: {by_source}")
