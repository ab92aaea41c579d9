"""NB401: a query names the columns it reads."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.sql import read_queries
from rasen_lint.sql_texts import sql_texts


class SelectStar:
    """Check that queries name the columns that they read from a table.

    What it does:
        Reads the queries of the notebook (`rasen.read_sql`, `pd.read_sql`, `client.query`, `%%bigquery`, variables that
        hold one) and looks for `SELECT *` from a table; `* EXCEPT (…)` reads the table's other columns all the same.
        `COUNT(*)`, `EXISTS (SELECT * …)` and `*` from a subquery or a `WITH` table that names its columns are fine.

    Why it is bad:
        BigQuery bills by the columns that are read, and `*` reads them all. A column that is added to the table next
        month comes into the data set, the features and the schema of the model, without anybody having asked for it.

    Example:
        `SELECT * FROM flights WHERE day >= @train_from`

    Use instead:
        `SELECT origin, day, departures FROM flights WHERE day >= @train_from`
    """

    code = "NB401"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each such star."""
        for sql in sql_texts(document):
            for query in read_queries(sql.text):
                for offset in query.stars_of_tables(known=sql.variables):
                    line, column = sql.place(offset)
                    message = "`SELECT *` reads every column of the table; name the columns that are used"
                    yield finding_at(
                        self.code, self.severity, message, sql.code_cell.cell, line=line, column=column
                    )
