"""Finds, in source, what could rebuild objects from bytes: the ways that are known, and the ways around them.

A reader of source cannot find everything (a name put together at run time, a library that unpickles inside); reviews
see the rest. What is found here is what somebody would write without meaning harm, and the tricks next to it.
"""

from __future__ import annotations

import ast

MODULES = {
    *("pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal"),
    *("shelve", "skops", "torch", "xmlrpc"),
}
"""Of these nothing may be used that reads, and none may be handed on under another name."""

READS = {
    *("load", "loads", "_load", "_loads", "Unpickler", "_Unpickler", "open", "Shelf", "DbfilenameShelf"),
    *("load_session", "load_module", "decode", "hub", "jit", "io"),
}
RECEIVES = {"multiprocessing", "concurrent.futures.process"}
"""Their connections and queues unpickle whatever arrives."""

ATTRIBUTES = {
    *("read_pickle", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"),
    *("UnsafeLoader", "FullLoader", "ProcessPoolExecutor"),
}


def find_unpicklers(source: str) -> list[str]:
    """Return what in a module's source could rebuild objects from bytes, each with its line."""
    tree = ast.parse(source)
    named = {
        alias.asname or alias.name.split(".")[0]: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.split(".")[0] in MODULES
    }
    bases = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = []
    for node in ast.walk(tree):
        what = _imported(node) or _used(node, named, bases) or _called(node)
        if what:
            found.append(f"line {getattr(node, 'lineno', 0)}: {what}")
    return found


def _imported(node: ast.AST) -> str:
    match node:
        case ast.ImportFrom(module=str(module)) if module.split(".")[0] in MODULES:
            return f"from {module} import …"
        case ast.ImportFrom(module=str(module), names=names):
            wanted = {
                module,
                *(f"{module}.{alias.name}" for alias in names),
                *(alias.name for alias in names),
            }
            if module.split(".")[0] in RECEIVES or wanted & (RECEIVES | ATTRIBUTES):
                return f"from {module} import …"
        case ast.Import(names=names) if {alias.name for alias in names} & RECEIVES:
            return "import of what receives pickles"
    return ""


def _used(node: ast.AST, named: dict[str, str], bases: set[int]) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in named and attribute in READS:
            return f"{named[name]}.{attribute}"
        case ast.Attribute(attr=attribute) if attribute in ATTRIBUTES:
            return attribute
        case ast.Attribute(value=ast.Attribute() as inner, attr=attribute) if attribute in READS:
            root = inner.value
            if isinstance(root, ast.Name) and root.id in named:
                return f"{named[root.id]}.….{attribute}"
        case ast.Name(id=name) if name in named and id(node) not in bases:
            return f"{named[name]} handed on"
    return ""


def _called(node: ast.AST) -> str:
    match node:
        case ast.keyword(arg="allow_pickle"):
            return "allow_pickle"
        case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module" | "__import__")):
            names = [one.value for one in node.args if isinstance(one, ast.Constant)]
            if any(str(name).split(".")[0] in MODULES | RECEIVES for name in names):
                return "import by name"
        case ast.Subscript(value=ast.Attribute(attr="modules"), slice=ast.Constant(value=str(name))):
            if name.split(".")[0] in MODULES:
                return "out of sys.modules"
        case ast.Call(func=ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "load_all")):
            loaders = [one.value for one in node.keywords if one.arg == "Loader"] + node.args[1:]
            if not any(
                isinstance(one, ast.Name | ast.Attribute) and "Safe" in ast.unparse(one) for one in loaders
            ):
                return "yaml.load without a safe loader"
    return ""
