# ---
# title: Read a file beside the notebook
# description: >-
#   A CSV, JSON or Parquet file of the pipeline's folder, read with the types of the warehouse and kept as a snapshot
#   of the run. A file elsewhere would be missing in a run: it gets the pipeline's folder and nothing else.
# tags: [data]
# placeholders:
#   rows: {default: airports, description: name of the DataFrame}
#   path: {default: airports.csv, description: "the file, seen from the notebook's folder"}
#   columns: {default: [origin, name], description: columns that are needed}
#   key: {default: origin, description: column whose values must not repeat}
# ---
import rasen

__rows__ = rasen.read_file("__path__")
missing = [name for name in __columns__ if name not in __rows__]
if missing:
    raise ValueError(f"__path__ lacks the columns {missing}; it has {list(__rows__)}")
__rows__ = __rows__[__columns__]
repeated = __rows__.loc[__rows__["__key__"].duplicated(), "__key__"].unique()
if len(repeated):
    raise ValueError(f"__path__ has several rows for {list(repeated)[:5]}: a merge would multiply rows")
print(f"{len(__rows__):,} rows of __path__")
