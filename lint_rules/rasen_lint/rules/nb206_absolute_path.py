"""NB206: a notebook names no file by a path that only one machine has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from rasen_lint.document import CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.parameter_problems import refused_nodes

# Folders of a person or a machine: such a text is a path wherever it stands. (`/Users/somebody@…` is Databricks'.)
_PERSONAL = re.compile(
    r"""/(?:home|Users)/[\w.~+-]+(?:/|$)|/root(?=/)/[\w.~@+-]|/(?:mnt|media|Volumes)/[\w.@+-]+/|/dbfs/[\w.-]+
        |/content/drive\b|/kaggle/(?:input|working)\b|~[\w.-]*/[\w.@+-]
        # a drive with a folder in it, or with a file; `T:\theta` is a label
        |[A-Zcde]:(?:\\{1,2}|/)[\w.$@~-][\w .$@~()-]+(?:[\\/]|\.\w{2,5}$)""",
    re.VERBOSE,
)
_PERSONAL_BEGINNING = re.compile(r"(?:/(?:home|Users|mnt|media|Volumes)|~)/")  # of `f"~/{name}"`
_PROSE = re.compile(r"\s(?!.*(?:\.\w{1,7}|[\\/])$)")
_SHARE = re.compile(r"\\\\[A-Za-z0-9][A-Za-z0-9.-]+\\[\w$.-]{2,}(?:\\[^\\\n]+)*\.\w{2,5}")
_REGULAR_EXPRESSION = re.compile(r"[*+?^|]|\\[dws](?:[\[\]{}()*+?|.$]|$)|\(\?|\[[^\]]*-[^\]]*\]")
# What ends like a table or a model is a file, whatever its first folder is called.
_DATA_FILE = re.compile(
    r"/[\w.@+-]+(?:/[\w.@+ -]+)*/[\w.@+ -]+\."
    r"(?:csv|db|feather|gz|h5|hdf5|joblib|npy|npz|orc|parquet|pickle|pkl|sqlite3?|tsv|xlsx?|zip)",
    re.IGNORECASE,
)
# Where a file function is given such a text it is a path, whatever its first folder is called.
_ROOTED = re.compile(r"/(?!/)[^\n]|[A-Za-z]:[\\/]|\\\\[A-Za-z0-9]|~(?:[\w.-]*/|$)")
_SAME_EVERYWHERE = re.compile(r"/(?:dev|proc|sys)(?:/|$)")
_TEMPORARY = re.compile(r"/(?:var/)?tmp(?:/|$)")

_READERS = frozenset(
    {
        "genfromtxt",
        "imread",
        "load",
        "loadtxt",
        "memmap",
        "open_dataset",
        "read_csv",
        "read_excel",
        "read_feather",
        "read_file",
        "read_fwf",
        "read_hdf",
        "read_json",
        "read_orc",
        "read_parquet",
        "read_pickle",
        "read_table",
        "read_sas",
        "read_spss",
        "read_stata",
        "read_xml",
        "scan_csv",
        "scan_parquet",
    }
)
_WRITERS = frozenset(
    {
        "savefig",
        "to_csv",
        "to_excel",
        "to_feather",
        "to_hdf",
        "to_json",
        "to_parquet",
        "to_pickle",
        "to_stata",
    }
)
_FILE_FUNCTIONS = frozenset(
    {
        "codecs.open",
        "glob.glob",
        "glob.iglob",
        "gzip.open",
        "io.open",
        "joblib.dump",
        "joblib.load",
        "numpy.load",
        "numpy.save",
        "numpy.savetxt",
        "numpy.savez",
        "open",
        "os.listdir",
        "os.makedirs",
        "os.mkdir",
        "os.path.exists",
        "os.path.expanduser",
        "os.path.isdir",
        "os.path.isfile",
        "os.path.join",
        "os.remove",
        "os.scandir",
        "os.walk",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePath",
        "shutil.copy",
        "shutil.copyfile",
        "shutil.copytree",
        "shutil.move",
        "shutil.rmtree",
        "sqlite3.connect",
        "sys.path.append",
        "sys.path.insert",
        "tarfile.open",
        "zipfile.ZipFile",
    }
)
_PATH_KEYWORDS = frozenset(
    {
        "cache_dir",
        "data_dir",
        "filename",
        "filepath",
        "filepath_or_buffer",
        "file",
        "fname",
        "path",
        "path_or_buf",
    }
)
_WORDS_FOR_PEOPLE = frozenset(
    {"description", "help", "label", "message", "text", "title", "xlabel", "ylabel"}
)
_HOME = ("pathlib.Path.home", "pathlib.PosixPath.home", "os.path.expanduser")
# A text here is compared, cut, shown, or a route of the web: no file is opened by it.
_NO_FILE = frozenset(
    {
        "add_api_route",
        "add_url_rule",
        "annotate",
        "delete",
        "endswith",
        "get",
        "head",
        "lstrip",
        "mount",
        "options",
        "patch",
        "post",
        "put",
        "removeprefix",
        "replace",
        "request",
        "route",
        "rsplit",
        "set_title",
        "set_xlabel",
        "set_ylabel",
        "split",
        "startswith",
        "strip",
        "suptitle",
        "text",
        "title",
        "urljoin",
        "websocket",
        "xlabel",
        "ylabel",
    }
)


class AbsolutePath:
    r"""Check that files are not named by absolute paths or paths in somebody's home.

    What it does:
        Finds texts that are paths into a person's or a machine's folders (`/home/…`, `/Users/…`, `/root`, `/mnt/…`,
        `/media/…`, `/Volumes/…`, Colab's and Kaggle's folders, `C:\…`, `~/…`) and any absolute path that a function
        of files is given (`open`, `Path`, `os.path.join`, `pd.read_csv`, `to_parquet` and the like) or that ends like a
        table or a model (`.csv`, `.parquet`, `.pkl`, …); and `Path.home()`.
        URLs, `gs://…`, routes of the web, regular expressions, `/dev/null` and what a text is compared with are left
        alone; so is `/tmp`, unless a file is read there that nothing in the notebook has written.

    Why it is bad:
        The file is on your machine and in no release. The run in the platform's image stops there, or reads another
        file of that name; and what was read is in no snapshot, so that nobody can repeat the run.

    Example:
        `pd.read_csv("/Users/hanako/flights.csv")`

    Use instead:
        `rasen.read_file("flights.csv")` for a file beside the notebook, `rasen.read_sql(…)` for a table,
        `tempfile.TemporaryDirectory()` for what nobody needs tomorrow.
    """

    code = "NB206"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each path."""
        for code_cell in document.code_cells:
            refused = refused_nodes(code_cell) if code_cell.is_parameters else frozenset()
            for node in code_cell.nodes.of(ast.Constant):
                text = node.value
                if not isinstance(text, str) or len(text) > 1000 or text[:1] in {"", " "} or node in refused:
                    continue
                if text[0] in "/~\\" or text[1:2] == ":":
                    place = _begins(node, code_cell)
                    if place is not None and _is_path(text, place, code_cell, document):
                        yield self._finding(f"`{_shorten(text)}`", code_cell, place)
        for call in document.calls_of(*_HOME):
            if call.code_cell.is_parameters or (
                call.name.endswith("expanduser") and not _is_tilde(call.node)
            ):
                continue
            yield self._finding(f"`{ast.unparse(call.node)}`", call.code_cell, call.node)

    def _finding(self, shown: str, code_cell: CodeCell, node: ast.expr) -> Finding:
        return finding_at(
            self.code,
            self.severity,
            f"{shown} is a path of one machine; put the file beside the notebook and read it by a relative path "
            "(`rasen.read_file`), or read a table",
            code_cell.cell,
            node=node,
        )


def _is_tilde(node: ast.Call) -> bool:
    """Say whether `~` alone is expanded; `~/file` is found as a text."""
    return [each.value for each in node.args if isinstance(each, ast.Constant)] == ["~"]


def _begins(node: ast.Constant, code_cell: CodeCell) -> ast.expr | None:
    """Return the expression whose value begins with a text, or `None` when it ends up elsewhere or is no value."""
    place: ast.expr = node
    for above in code_cell.nodes.parents(node):
        match above:
            case ast.JoinedStr(values=[first, *_]) | ast.BinOp(left=first, op=ast.Add() | ast.Mod()):
                if first is not place:
                    return None
                place = above
            case (
                ast.Expr()
                | ast.Compare()
                | ast.JoinedStr()
                | ast.FormattedValue()
                | ast.AnnAssign(annotation=_, value=None)
            ):
                return None
            case ast.BinOp(op=ast.Add() | ast.Mod()):
                return None
            case ast.Subscript():
                return None
            case ast.Dict(keys=keys) if place in keys:
                return None
            case ast.keyword(arg=name) if name in _WORDS_FOR_PEOPLE:
                return None
            case _:
                return place
    return None


def _is_path(text: str, place: ast.expr, code_cell: CodeCell, document: Document) -> bool:
    above = code_cell.nodes.parent(place)
    call = next(
        (each for each in (above, _above_keyword(above, code_cell)) if isinstance(each, ast.Call)), None
    )
    name = attribute = ""
    if call is not None:
        name = document.names.full_name(call.func, cell=code_cell.cell.index) or ""
        attribute = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if attribute in _NO_FILE or name in {
            "urllib.parse.urljoin",
            "re.compile",
            "re.sub",
            "re.match",
            "re.search",
        }:
            return False
    if name.startswith("os.path.expanduser") and text == "~":
        return False  # found as a call
    if _REGULAR_EXPRESSION.search(text) and not name:
        return False
    if (_PERSONAL.match(text) and not _PROSE.search(text)) or _SHARE.fullmatch(text):
        return True
    if not isinstance(place, ast.Constant) and _PERSONAL_BEGINNING.fullmatch(text):
        return True
    if _SAME_EVERYWHERE.match(text) or not _ROOTED.match(text):
        return False
    opened = call is not None and _is_file_argument(call, place, above, name, attribute)
    if _TEMPORARY.match(text):
        return opened and call is not None and _reads(call, name, attribute) and _is_once(text, document)
    # What a method of something unknown is given may lie in a bucket: `fs.open("/flights/2013.csv")`.
    return opened or ((call is None or bool(name)) and _DATA_FILE.fullmatch(text) is not None)


def _above_keyword(above: ast.AST | None, code_cell: CodeCell) -> ast.AST | None:
    return code_cell.nodes.parent(above) if isinstance(above, ast.keyword) else None


def _is_file_argument(
    call: ast.Call, place: ast.expr, above: ast.AST | None, name: str, attribute: str
) -> bool:
    """Say whether the text is the path of a function of files: its first argument, or one that is called so."""
    last = attribute or name.rpartition(".")[2]
    if name not in _FILE_FUNCTIONS and last not in _WRITERS and last not in _READERS - {"load"}:
        return False
    if isinstance(above, ast.keyword):
        return above.arg in _PATH_KEYWORDS
    return place in call.args and (
        call.args[0] is place or name.startswith(("shutil.", "sys.path.insert", "joblib.dump"))
    )


def _reads(call: ast.Call, name: str, attribute: str) -> bool:
    if (attribute or name.rpartition(".")[2]) in _READERS:
        return True
    modes = (*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "mode"))
    return name in {"open", "io.open", "gzip.open"} and all(
        isinstance(each, ast.Constant) and isinstance(each.value, str) and each.value.startswith("r")
        for each in modes
    )


def _is_once(text: str, document: Document) -> bool:
    """Say whether a text stands in the notebook only once."""
    times = 0
    for code_cell in document.code_cells:
        for node in code_cell.nodes.of(ast.Constant):
            times += node.value == text
            if times > 1:
                return False
    return True


def _shorten(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
