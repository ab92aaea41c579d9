"""NB207: no credential stands in a notebook."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from rasen.notebook import Cell
from rasen.secret_shapes import find_secrets
from rasen_lint.credentials import is_secret, is_template, names_secret, passwords_in_urls
from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.nodes import Nodes
from rasen_lint.parameter_problems import refused_nodes

_CONNECTION = re.compile(
    r"(?i)(?:^|[;\s])(?P<name>password|pwd|accountkey)\s*=\s*(?P<secret>[^;'\"{}\s]{3,})\s*(?:;|$)"
)
# Functions of a name and a value, and of a user and a password.
_BY_NAME = frozenset({"get", "getenv", "pop", "putenv", "setattr", "setdefault", "setenv"})
_BY_USER = frozenset({"BasicAuth", "DigestAuth", "HTTPBasicAuth", "HTTPDigestAuth", "login"})


class Credential:
    """Check that no password, key or token stands in a cell.

    What it does:
        Finds a literal that is given to a name of a secret (`password`, `api_key`, `client_secret`, `auth_token` and
        such, as a variable, an argument, an attribute, a key), passwords in URLs and connection strings, and, in any
        cell and any comment, private keys and the tokens of well-known services by their form.
        References (`secret://env/NAME`), placeholders (`<token>`, `changeme`, `your-key`) and what a tokenizer calls
        a token are left alone.

    Why it is bad:
        What is committed stays in the history for ever and on every machine that clones it, and outlives the person
        who may no longer have it. It cannot be changed without a new release, so it never is.

    Example:
        `api_key = "9f8e7d6c5b4a"`

    Use instead:
        `api_key: rasen.Secret = "secret://env/WEATHER_KEY"` in the parameters cell and `rasen.secret(api_key)` where it
        is needed. A secret that was ever committed is lost: change it where it was issued, too.
    """

    code = "NB207"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each credential."""
        told: set[tuple[int, int]] = set()
        for code_cell in document.code_cells:
            for node, what in _in_code(code_cell):
                told.update((code_cell.cell.index, line) for line in range(node.lineno, _last_line(node) + 1))
                yield finding_at(self.code, self.severity, _message(what), code_cell.cell, node=node)
        for cell in document.notebook.cells:
            for start, what in _in_text(cell):
                line = cell.source.count("\n", 0, start) + 1
                if (cell.index, line) not in told:
                    told.add((cell.index, line))
                    yield finding_at(self.code, self.severity, _message(what), cell, line=line)


def _message(what: str) -> str:
    return (
        f"{what} stands in the notebook; keep it outside, name it `secret://env/NAME` and ask `rasen.secret(…)` for "
        "it. Once committed it is lost: change it where it was issued"
    )


def _last_line(node: ast.expr) -> int:
    return node.end_lineno or node.lineno


def _in_code(code_cell: CodeCell) -> Iterator[tuple[ast.expr, str]]:
    """Yield the literals of a cell that are credentials, each once, with what they are."""
    # A parameter that is annotated `Secret` and holds no reference to one is NB112's.
    told: set[ast.AST] = set(refused_nodes(code_cell)) if code_cell.is_parameters else set()
    for name, value in (*_assigned(code_cell.nodes), *_passed(code_cell.nodes), *_in_pairs(code_cell.nodes)):
        literal = _literal(value)
        if literal is not None and value not in told and names_secret(name) and is_secret(name, literal):
            told.add(value)
            yield value, f"the value of `{name}`"
    for node in code_cell.nodes.of(ast.Constant):
        if isinstance(node.value, str) and ";" in node.value and len(node.value) < 2000 and node not in told:
            connection = _CONNECTION.search(node.value)
            if connection is not None and is_secret(connection["name"], connection["secret"]):
                yield node, "the password of a connection"


def _in_text(cell: Cell) -> Iterator[tuple[int, str]]:
    """Yield what is a credential by its form, in comments, magics and prose, too: its place and what it is."""
    for seen in find_secrets(cell.source):
        if not is_template(seen.secret.strip()):
            yield seen.start, f"{'an' if seen.name[0] in 'AEIO' else 'a'} {seen.name}"
    if cell.type == "code":
        for url in passwords_in_urls(cell.source):
            yield url.start(), "the password of a URL"


def _assigned(nodes: Nodes) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is assigned to a variable, an attribute or a key."""
    for assignment in nodes.of(ast.Assign):
        for target in assignment.targets:
            yield from _targets(target, assignment.value)
    for annotated in nodes.of(ast.AnnAssign):
        if annotated.value is not None:
            yield from _targets(annotated.target, annotated.value)
    for walrus in nodes.of(ast.NamedExpr):
        yield walrus.target.id, walrus.value
    for dictionary in nodes.of(ast.Dict):
        for key, value in zip(dictionary.keys, dictionary.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value


def _passed(nodes: Nodes) -> Iterator[tuple[str, ast.expr]]:
    """Yield what is passed by name, and the defaults of functions."""
    for keyword in nodes.of(ast.keyword):
        if keyword.arg is not None:
            yield keyword.arg, keyword.value
    for arguments in nodes.of(ast.arguments):
        positional = [*arguments.posonlyargs, *arguments.args]
        for argument, default in zip(reversed(positional), reversed(arguments.defaults), strict=False):
            yield argument.arg, default
        for argument, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if given is not None:
                yield argument.arg, given


def _in_pairs(nodes: Nodes) -> Iterator[tuple[str, ast.expr]]:
    """Yield what calls are given beside a name: `os.getenv("API_KEY", "…")`, `auth=("hanako", "…")`."""
    for call in nodes.of(ast.Call):
        match call.func, call.args:
            case ast.Attribute(attr=function) | ast.Name(id=function), [ast.Constant(value=str(name)), value]:
                if function in _BY_NAME:
                    yield name, value
                elif function in _BY_USER:
                    yield "password", value
    for keyword in nodes.of(ast.keyword):
        match keyword:
            case ast.keyword(arg="auth" | "basic_auth", value=ast.Tuple(elts=[ast.Constant(), value])):
                yield "password", value


def _targets(target: ast.expr, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    match target, value:
        case (ast.Name(id=name), _) | (ast.Attribute(attr=name), _):
            yield name, value
        case ast.Subscript(slice=ast.Constant(value=str(name))), _:
            yield name, value
        case (
            (ast.Tuple(elts=targets) | ast.List(elts=targets)),
            (ast.Tuple(elts=values) | ast.List(elts=values)),
        ):
            for each, its in zip(targets, values, strict=False):
                yield from _targets(each, its)


def _literal(value: ast.expr) -> str | None:
    match value:
        case ast.Constant(value=str(text)):
            return text
        case ast.Constant(value=bytes(data)):
            return data.decode(errors="replace")
        case _:
            return None
