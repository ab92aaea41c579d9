# ---
# title: Take the table of an earlier step
# description: >-
#   What a step under `needs:` of this one has saved. The columns are named here, so that a change there is found at
#   once and not ten cells later. Cell by cell, run the other notebook first.
# tags: [pipeline, tables]
# placeholders:
#   rows: {default: features, description: name of the DataFrame}
#   table: {default: features, description: name under which it was saved}
#   columns: {default: [origin, time_hour, departures], description: columns that this notebook uses}
# ---
import rasen

__rows__ = rasen.load_table("__table__")
missing = [name for name in __columns__ if name not in __rows__]
if missing:
    raise ValueError(f"the table __table__ lacks {missing}; it has {list(__rows__)}")
print(f"{len(__rows__):,} rows, {__rows__.shape[1]} columns")
