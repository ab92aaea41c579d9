# ---
# title: MERGE rows into a BigQuery table
# description: >-
#   For tables of a BigQuery project that the pipeline does not own as a whole: new rows are loaded beside the table,
#   then one MERGE with explicit columns updates and inserts, all of it or nothing. Runs where there is a BigQuery and
#   `pip install 'rasen[bigquery]'`, not on the embedded warehouse: there and for a pipeline's own tables take "Merge
#   rows into a table of the warehouse". Done twice it changes nothing more. Beware that a failed run does not take it
#   back.
# tags: [bigquery, data, sql, tables]
# placeholders:
#   rows: {default: rows, description: DataFrame with the new rows}
#   table: {default: analytics.daily_scores, description: "the table, as dataset.table"}
#   key: {default: origin, description: first column of the key}
#   time: {default: time_hour, description: "second column of the key, by which the table is partitioned"}
#   value: {default: score, description: column that is updated}
#   client: {default: bigquery.Client(), type: expression, description: "the client, with a project if need be"}
# ---
import io

from google.cloud import bigquery

columns = ["__key__", "__time__", "__value__"]
if (
    __rows__.empty
    or __rows__.duplicated(["__key__", "__time__"]).any()
    or __rows__[columns[:2]].isna().any(axis=None)
):
    raise ValueError("each new row must have its own __key__ and __time__, and there must be one")
client = __client__
file = io.BytesIO()
__rows__[columns].to_parquet(file, index=False, coerce_timestamps="us")
new_rows = bigquery.LoadJobConfig(source_format="PARQUET", write_disposition="WRITE_TRUNCATE")
client.load_table_from_file(
    file, "__table___new", size=file.tell(), rewind=True, job_config=new_rows
).result()
first = bigquery.ScalarQueryParameter("first", "TIMESTAMP", __rows__["__time__"].min())
done = client.query_and_wait(
    """
    MERGE INTO `__table__` AS present
    USING `__table___new` AS new
    ON present.__key__ = new.__key__
      AND present.__time__ = new.__time__
      AND present.__time__ >= @first  -- only the partitions that can match are read
    WHEN MATCHED THEN
      UPDATE SET __value__ = new.__value__
    WHEN NOT MATCHED THEN
      INSERT (__key__, __time__, __value__) VALUES (new.__key__, new.__time__, new.__value__)
    """,
    job_config=bigquery.QueryJobConfig(query_parameters=[first]),
)
print(f"{done.num_dml_affected_rows:,} rows of __table__ updated or inserted")
