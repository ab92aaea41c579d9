"""NB209: what draws at random has a seed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from rasen_lint.document import Call, CodeCell, Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.random_calls import GENERATORS, GLOBAL, RANDOM_STATE, SEED_OPTIONS, SEEDS, SEEDS_ITS_PARTS
from rasen_lint.source_edits import insert_argument
from rasen_lint.training import is_training


class Randomness:
    """Check that everything that draws at random has a seed.

    What it does:
        Looks for calls that draw: of `random`, `numpy.random`, PyTorch and TensorFlow, generators without a seed,
        splitters and estimators of scikit-learn without `random_state`, `sample` of a table. A call such as
        `np.random.seed(0)` or `torch.manual_seed(0)` anywhere in the notebook counts for all that draws from that
        library. An error in a notebook that trains a model for an endpoint, elsewhere a warning.

    Why it is bad:
        The same commit and the same data give another model each time. A run cannot be repeated, and whether a change
        was better or only lucky cannot be told.

    Example:
        `train, test = train_test_split(flights)`

    Use instead:
        `train, test = train_test_split(flights, random_state=seed)`, with `seed: int = 7` as a parameter;
        `rasen lint --fix` writes the parameter `seed` if there is one, and 0 if not.
    """

    code = "NB209"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each call that draws without a seed."""
        seeded = _seeded(document)
        severity = self.severity if is_training(document) else Severity.WARNING
        seed = _seed_parameter(document)
        exempt = _seeded_elsewhere(document)
        for name, calls in document.calls.items():
            for call in calls:
                if not _draws(name, call, seeded) or call.node in exempt:
                    continue
                message = f"`{_shown(call.node.func)}` draws without a seed; {_advice(name)}"
                fix = _fix(name, call, seed)
                yield finding_at(
                    self.code, severity, message, call.code_cell.cell, node=call.node.func, fix=fix
                )
        if "numpy" not in seeded:
            for code_cell, node in _samples(document):
                message = "`sample` draws without a seed; give it `random_state=…`"
                fix = _insert(code_cell, node, f"random_state={seed}")
                yield finding_at(self.code, severity, message, code_cell.cell, node=node.func, fix=fix)


def _seeded(document: Document) -> frozenset[str]:
    """Return the libraries that some call seeds with a value."""
    found: set[str] = set()
    for call in document.calls_of(*SEEDS):
        values = [*call.node.args, *(keyword.value for keyword in call.node.keywords)]
        if values and not all(_is_none(value) for value in values):
            found |= SEEDS[call.name]
    return frozenset(found)


def _seeded_elsewhere(document: Document) -> set[ast.AST]:
    """Return the estimators that another one seeds, all of them if `set_params` may."""
    every = {call.node for name in document.calls if name in RANDOM_STATE for call in document.calls[name]}
    for code_cell in document.code_cells if every else ():
        for call in code_cell.nodes.of(ast.Call):
            sets = isinstance(call.func, ast.Attribute) and call.func.attr == "set_params"
            if sets and any((each.arg or "random_state").endswith("random_state") for each in call.keywords):
                return {*every}
    outer = document.calls_of(*SEEDS_ITS_PARTS)
    return {part for call in outer for part in ast.walk(call.node) if part is not call.node and part in every}


def _draws(name: str, call: Call, seeded: frozenset[str]) -> bool:
    node = call.node
    options = {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg is not None}
    unknown = len(options) < len(node.keywords) or any(isinstance(each, ast.Starred) for each in node.args)
    if any(name in options and not _is_none(options[name]) for name in SEED_OPTIONS):
        return False
    if name in GLOBAL:
        return GLOBAL[name] not in seeded
    if name in GENERATORS:
        return not unknown and all(_is_none(each) for each in node.args)
    if unknown or "numpy" in seeded:
        return False
    if name.startswith("scipy.stats.") and name.endswith(".rvs"):
        return True
    return name in RANDOM_STATE and RANDOM_STATE[name](options)


def _samples(document: Document) -> Iterator[tuple[CodeCell, ast.Call]]:
    """Yield calls of a table's `sample`: by the options that only pandas has, or on what is no model."""
    if not any(document.names.is_imported(name) for name in ("pd", "pandas", "rasen")):
        return
    models = _models(document)
    for code_cell in document.code_cells:
        for node in code_cell.nodes.of(ast.Call):
            match node.func:
                case ast.Attribute(value=table, attr="sample") if not _is_module(table, code_cell, document):
                    pass
                case _:
                    continue
            options = {keyword.arg for keyword in node.keywords}
            if None in options or options & SEED_OPTIONS or len(node.args) > 1:
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                if not _is_none(given.get("random_state", node)):
                    continue
            of_pandas = bool(options & {"n", "frac", "replace", "weights", "ignore_index"})
            counted = len(node.args) == 1 and not isinstance(node.args[0], (ast.Tuple, ast.List, ast.Starred))
            is_table = not isinstance(table, ast.Call) and _root(table) not in models
            if of_pandas or (counted and is_table):
                yield code_cell, node


def _models(document: Document) -> set[str]:
    """Return the names that hold what a class made, DataFrames left out: their `sample` is another one."""
    found: set[str] = set()
    for code_cell in document.code_cells:
        for assign in code_cell.nodes.of(ast.Assign):
            made = [
                node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                for node in ast.walk(assign.value)
                if isinstance(node, ast.Call)
            ]
            if any(name[:1].isupper() and name not in {"DataFrame", "Series"} for name in made):
                found.update(target.id for target in assign.targets if isinstance(target, ast.Name))
    return found


def _is_module(node: ast.expr, code_cell: CodeCell, document: Document) -> bool:
    name = document.names.full_name(node, cell=code_cell.cell.index)
    return name is not None and document.names.is_imported(_root(node))


def _root(node: ast.expr) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _seed_parameter(document: Document) -> str:
    """Return the name of the parameter that is a seed, or 0."""
    for code_cell in document.parameter_cells():
        for node in code_cell.nodes.of(ast.Name):
            if isinstance(node.ctx, ast.Store) and node.id in {"seed", "random_seed", "random_state"}:
                return node.id
    return "0"


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 60 else "…" + text[-60:]


def _advice(name: str) -> str:
    if name in GENERATORS:
        return "give it a number"
    if name in RANDOM_STATE or name.startswith("scipy.stats."):
        return "give it `random_state=…`"
    library = GLOBAL[name]
    if library == "numpy":
        return "draw from `np.random.default_rng(seed)`"
    seeding = {"random": "random.seed(…)", "torch": "torch.manual_seed(…)"}
    return f"call `{seeding.get(library, 'tf.random.set_seed(…)')}` above it"


def _fix(name: str, call: Call, seed: str) -> Fix | None:
    if name in GENERATORS:
        return None if call.node.args or call.node.keywords else _insert(call.code_cell, call.node, seed)
    if name in RANDOM_STATE or name.startswith("scipy.stats."):
        return _insert(call.code_cell, call.node, f"random_state={seed}")
    return None


def _insert(code_cell: CodeCell, node: ast.Call, argument: str) -> Fix | None:
    if any(
        keyword.arg in SEED_OPTIONS for keyword in node.keywords
    ):  # `random_state=None` stands there already
        return None
    source = insert_argument(code_cell, node, argument)
    if source is None:
        return None
    return Fix(title=f"Add `{argument}`", sources={code_cell.cell.index: source})
