"""NB506: everything that is imported is in the image."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.context import Role
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Severity
from rasen_lint.imports import imported_modules, is_standard, sibling_modules
from rasen_lint.not_here import what_is_not_here


class NotInImage:
    """Check that every package that a pipeline's notebook imports is in the platform's image.

    What it does:
        Compares the imports with the lock file of the image, Python's own modules and the files beside the notebook. An
        import under `try: … except ImportError` is left alone, and so are explorations. NB507 speaks of files of the
        repository that lie elsewhere, NB508 of libraries that the platform has no place for.

    Why it is bad:
        The run stops at this line. On the analyst's own machine it works, because the package was installed there by
        hand.

    Example:
        `import catboost`, which `requirements.lock` does not hold.

    Use instead:
        Add the package to the image's requirements by a pull request and renew the lock file, or do without it.
    """

    code = "NB506"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each package, at its first import."""
        context = document.context
        if context.role is Role.EXPLORATION or context.image_modules is None:
            return
        known = {"rasen", *context.image_modules, *context.outside_modules, *sibling_modules(context)}
        for imported in imported_modules(document):
            package = imported.package
            if imported.optional or imported.level or package in known or is_standard(package):
                continue
            if what_is_not_here(imported.path) is not None:
                continue
            known.add(package)
            message = f"{package!r} is not in the lock file of the image; add it there by a pull request"
            yield finding_at(self.code, self.severity, message, imported.code_cell.cell, node=imported.node)
