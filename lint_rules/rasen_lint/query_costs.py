"""`rasen lint --dry-run-queries`: what the queries of notebooks would read, asked from BigQuery without running them.

A dry run is free and needs credentials, so it is asked for by hand or by CI and never while somebody types. Only
queries that stand in the notebook as text are known; their parameters get the values that the `parameters` cell gives
them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rasen.notebook import Cell
from rasen_lint.checking import Checked, in_order
from rasen_lint.configuration import Configuration
from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.magics import MagicKind
from rasen_lint.suppression import suppress

_READERS = frozenset({"read_sql", "query"})
_PARAMETER = re.compile(r"(?<![@\w])@([A-Za-z_]\w*)")
_REQUEST = re.compile(r"^[A-Z]+ \S+: ")
_TIMEOUT_SECONDS = 30.0
_AT_ONCE = 8
_TIB = 2**40

Scalar = bool | int | float | str | None


class QueryCost:
    """Check that no query reads more than the project allows.

    What it does:
        Only with `rasen lint --dry-run-queries`, and where BigQuery credentials are found: asks BigQuery what each
        query that stands in the notebook would read, without running it. The limit is `max-bytes` of
        `[tool.rasen.lint]`, 10 GB if absent; the price comes from `price-per-tib`.

    Why it is bad:
        A pipeline runs every night. What is cheap to try once is paid for 365 times, and a missing filter on the
        partition shows on next month's bill.

    Example:
        `rasen.read_sql("SELECT day, origin FROM flights")`

    Use instead:
        `rasen.read_sql("SELECT day, origin FROM flights WHERE day >= @since", params={"since": since})`
    """

    code = "NB403"
    severity = Severity.WARNING

    def check(self, document: Document) -> Iterable[Finding]:
        """Return nothing: only BigQuery knows (`price_queries`)."""
        return ()


QUERY_COST = QueryCost()


@dataclass(frozen=True, kw_only=True)
class Query:
    """A query that stands in a notebook; `line` is where its text begins."""

    cell: Cell
    line: int
    sql: str
    parameters: Mapping[str, Scalar]


@dataclass(frozen=True, kw_only=True)
class Price:
    """What BigQuery answered: the bytes that it would read, or the problem."""

    path: str
    cell: int
    line: int
    size_bytes: int | None
    dollars: float | None
    problem: str | None = None


def open_client() -> Any:  # Any: google-cloud-bigquery is an extra
    """Return a BigQuery client with the credentials that are found here, or why there is none, as a text."""
    try:
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import bigquery
    except ImportError:
        return "google-cloud-bigquery is not installed, so no query was priced; `rasen[bigquery]` brings it"
    try:
        return bigquery.Client()
    except (DefaultCredentialsError, OSError) as error:
        said = str(error).partition("\n")[0]
        return f"no credentials of BigQuery were found, so no query was priced: {said}"


def price_queries(
    results: Sequence[Checked], configurations: Mapping[str, Configuration], client: Any
) -> tuple[list[Checked], list[Price]]:  # Any: google-cloud-bigquery is an extra
    """Ask what the queries of notebooks read; return the results with NB403 added, and the prices.

    Args:
        results: What the other rules found.
        configurations: The configuration of each notebook, by its path.
        client: A `google.cloud.bigquery.Client`.
    """
    from concurrent.futures import ThreadPoolExecutor

    changed, prices = [], []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for checked in results:
            if checked.document is None:
                changed.append(checked)
                continue
            configuration = configurations[checked.path]
            queries = list(find_queries(checked.document))
            answers = list(pool.map(lambda query: _ask(client, query), queries))
            findings: list[Finding] = []
            for query, (size, problem) in zip(queries, answers, strict=True):
                dollars = None if size is None else size / _TIB * configuration.price_per_tib
                prices.append(
                    Price(
                        path=checked.path,
                        cell=query.cell.index,
                        line=query.line,
                        size_bytes=size,
                        dollars=dollars,
                        problem=problem,
                    )
                )
                findings += _judge(query, size, dollars, problem, configuration)
            kept = suppress(checked.document, findings, ran=(), known=())
            changed.append(replace(checked, findings=in_order([*checked.findings, *kept])))
    return changed, prices


def find_queries(document: Document) -> Iterator[Query]:
    """Yield the queries that stand in a notebook as text, given to `read_sql` or `query` or in a `%%bigquery`."""
    values = dict(_parameter_values(document))
    texts = dict(_texts(document))
    for code in document.code_cells:
        for magic in code.magics:
            if magic.kind is MagicKind.CELL and magic.name == "bigquery" and magic.body.strip():
                yield Query(
                    cell=code.cell,
                    line=magic.line + 1,
                    sql=magic.body,
                    parameters=_fill(magic.body, {}),
                )
        yield from _calls(code, values, texts)


def _calls(code: CodeCell, values: Mapping[str, Scalar], texts: Mapping[str, str]) -> Iterator[Query]:
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.Call) or not node.args or _last_name(node.func) not in _READERS:
            continue
        match node.args[0]:
            case ast.Constant(value=str(sql)):
                pass
            case ast.Name(id=name) if name in texts:
                sql = texts[name]
            case _:
                continue
        if not re.match(r"\s*(?:--[^\n]*\n\s*)*(?:SELECT|WITH|\()", sql, re.IGNORECASE):
            continue
        given = next((word.value for word in node.keywords if word.arg == "params"), None)
        told = dict(_given(given, values)) if isinstance(given, ast.Dict) else {}
        yield Query(cell=code.cell, line=node.args[0].lineno, sql=sql, parameters=_fill(sql, told))


def _given(given: ast.Dict, values: Mapping[str, Scalar]) -> Iterator[tuple[str, Scalar]]:
    for key, value in zip(given.keys, given.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            if isinstance(value, ast.Name):
                yield key.value, values.get(value.id)
            else:
                yield key.value, _literal(value)


def _fill(sql: str, told: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {name: told.get(name) for name in _PARAMETER.findall(sql)}


def _parameter_values(document: Document) -> Iterator[tuple[str, Scalar]]:
    for code in document.parameter_cells():
        for statement in code.tree.body:
            match statement:
                case (
                    ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                    | ast.Assign(targets=[ast.Name(id=name)], value=value)
                ):
                    yield name, _literal(value)


def _texts(document: Document) -> Iterator[tuple[str, str]]:
    """Yield the names that stand for one text in the whole notebook."""
    seen: dict[str, list[str | None]] = {}
    for code in document.code_cells:
        for node in ast.walk(code.tree):
            if (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and isinstance(node.targets[0], ast.Name)
            ):
                value = _literal(node.value)
                seen.setdefault(node.targets[0].id, []).append(value if isinstance(value, str) else None)
    for name, values in seen.items():
        if len(values) == 1 and values[0] is not None:
            yield name, values[0]


def _literal(node: ast.expr) -> Scalar:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _last_name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def _ask(
    client: Any, query: Query
) -> tuple[int | None, str | None]:  # Any: google-cloud-bigquery is an extra
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud import bigquery

    kinds = {bool: "BOOL", int: "INT64", float: "FLOAT64"}
    configuration = bigquery.QueryJobConfig(
        dry_run=True,
        use_query_cache=False,
        query_parameters=[
            bigquery.ScalarQueryParameter(name, kinds.get(type(value), "STRING"), value)
            for name, value in query.parameters.items()
        ],
    )
    try:
        job = client.query(
            query.sql,
            job_config=configuration,
            timeout=_TIMEOUT_SECONDS,
            retry=None,
            job_retry=None,
        )
    except GoogleAPICallError as error:
        # The message begins with the request and ends with the job, which nobody can look up.
        return None, _REQUEST.sub("", str(error.message)).partition("\n")[0]
    except OSError as error:  # requests' own errors among them: no network
        return None, f"BigQuery cannot be reached: {type(error).__name__}"
    return job.total_bytes_processed or 0, None


def _judge(
    query: Query, size: int | None, dollars: float | None, problem: str | None, configuration: Configuration
) -> Iterator[Finding]:
    if size is not None and dollars is not None and size > configuration.max_bytes:
        message = (
            f"this query reads {show_size(size)} each time ({show_dollars(dollars)}), more than "
            f"{show_size(configuration.max_bytes)}; filter on the partition, name only the columns that are needed"
        )
    elif problem is not None:
        message = f"what this query costs is unknown: {problem}"
    else:
        return
    yield finding_at(QUERY_COST.code, QUERY_COST.severity, message, query.cell, line=query.line)


def show_size(size_bytes: int) -> str:
    """Return a number of bytes in a unit that fits."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def show_dollars(dollars: float) -> str:
    """Return a price; a fraction of a cent as such."""
    return "under $0.01" if 0 < dollars < 0.01 else f"${dollars:,.2f}"
