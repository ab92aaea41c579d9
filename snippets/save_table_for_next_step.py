# ---
# title: Hand a table to the next step
# description: >-
#   What `rasen.load_table` of a later step returns, with the same types. It must come from this run and not from a
#   file, so that a step that is tried again, or a run that is repeated, sees the very same rows.
# tags: [pipeline, tables]
# placeholders:
#   rows: {default: features, description: the DataFrame}
#   table: {default: features, description: "name for the steps that need this one: small letters, digits, underscores"}
#   keys: {default: [origin, time_hour], description: columns that together name a row}
# ---
import rasen

if __rows__.empty or __rows__.duplicated(__keys__).any():
    raise ValueError("a table to hand on must have rows, and each its own __keys__")
rasen.save_table("__table__", __rows__.reset_index(drop=True))
print(f"{len(__rows__):,} rows, {__rows__.shape[1]} columns handed on as __table__")
