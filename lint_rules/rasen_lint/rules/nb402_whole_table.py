"""NB402: no query reads a whole table."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.sql import read_queries
from rasen_lint.sql_texts import sql_texts
from rasen_lint.sql_tokens import GAP


class WholeTable:
    """Check that a query reads a part of its table, not all of it.

    What it does:
        Looks for queries that read from a table without `WHERE`, `LIMIT` or `TABLESAMPLE`; `WHERE TRUE` is none. A
        condition of the query around counts for what stands within. Aggregates read the whole table, too. Which column
        the table is partitioned by is not known here, so any condition will do; queries with a part that is computed
        are left alone, as are `UNNEST`, files and `INFORMATION_SCHEMA`.

    Why it is bad:
        It costs by the size of the table, which grows every day: what is cheap on the day it is written is not a year
        later. And next month's run learns from other days than this one's, without a parameter saying so.

    Example:
        `SELECT origin, departures FROM flights`

    Use instead:
        `SELECT origin, departures FROM flights WHERE day BETWEEN @train_from AND @train_until`, with the days as
        parameters of the notebook; to look at a table, `LIMIT 100`.
    """

    code = "NB402"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each query, at the first table that it reads as a whole."""
        for sql in sql_texts(document):
            for query in read_queries(sql.text):
                table = query.whole_table(known=sql.variables)
                if table is None:
                    continue
                line, column = sql.place(table.start)
                name = "its table" if GAP in table.name else f"the table {table.name!r}"
                message = (
                    f"this query reads all of {name}; filter by its partition, mostly a day, or add a LIMIT"
                )
                yield finding_at(
                    self.code, self.severity, message, sql.code_cell.cell, line=line, column=column
                )
