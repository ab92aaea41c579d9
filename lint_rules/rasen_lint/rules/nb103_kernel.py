"""NB103: a notebook asks for the platform's kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rasen_lint.document import Document
from rasen_lint.finding import Finding, Fix, Severity

KERNELS = frozenset({"python3", "rasen"})
_PLATFORM_KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
# The plain kernels of environments. Others (`pyspark`, `sagemath`, `python2`) give a notebook something of their own.
_ENVIRONMENT = re.compile(r"(?:conda|mamba|venv|env|virtualenv)|^\.?python(?:3[\d.]*)?$|^py3", re.IGNORECASE)


class Kernel:
    """Check that the notebook asks for a kernel that the platform has.

    What it does:
        Reads `metadata.kernelspec.name`: `python3` and `rasen` are the platform's. No kernel, one of another language
        and one of a conda or virtual environment are not.

    Why it is bad:
        The kernel of a private environment exists on one machine, with libraries that the platform's image does not
        have. Elsewhere Jupyter asks for another one, and what was tried out is not what runs.

    Example:
        A notebook saved with the kernel `conda-env-pricing-py`.

    Use instead:
        Choose "Python 3 (ipykernel)" in JupyterLab (Kernel, "Change Kernel…"), run all cells once and save; what is
        missing belongs into `requirements.lock`. `rasen lint --fix` writes it where no kernel or that of an environment
        is named; a notebook for `pyspark` or `python2` is left to you.
    """

    code = "NB103"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield at most one finding, for the whole notebook."""
        specification = document.metadata.get("kernelspec")
        name = specification.get("name") if isinstance(specification, dict) else None
        language = document.notebook.language
        if name in KERNELS and language in {None, "python"}:
            return
        if language not in {None, "python"}:
            problem = f"is written in {language!r}; the platform runs Python"
        elif isinstance(name, str) and name:
            problem = f"asks for the kernel {name!r}, which the platform does not have; choose 'python3'"
        else:
            problem = "names no kernel; choose 'python3'"
        yield Finding(
            code=self.code,
            severity=self.severity,
            message=f"the notebook {problem}",
            fix=_fix(document, str(name or "")) if language in {None, "python"} else None,
        )


def _fix(document: Document, name: str) -> Fix | None:
    """Name the platform's kernel, unless the notebook may need the other one or be in another language."""
    if name and not _ENVIRONMENT.search(name):
        return None
    if any(code_cell.problem is not None for code_cell in document.code_cells):
        return None
    return Fix(
        title="Choose the platform's kernel",
        metadata={**document.metadata, "kernelspec": dict(_PLATFORM_KERNEL)},
    )
