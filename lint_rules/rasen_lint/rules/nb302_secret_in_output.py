"""NB302: no output shows a secret."""

from __future__ import annotations

from collections.abc import Iterator

from rasen.secret_shapes import SHAPES
from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.output_texts import readable_texts


class SecretInOutput:
    """Check that no saved output shows a secret.

    What it does:
        Looks in printed text, tables and error messages for what gives itself away by its form: private keys,
        `Authorization` headers, the tokens of Amazon, GitHub, Google, Slack and Rasen. They are the forms that the
        platform masks in the outputs of its runs.

    Why it is bad:
        Whoever may read the repository has the secret, and so does everybody who ever gets a copy of it; deleting the
        cell later leaves it in the history.

    Example:
        An output with `AKIA` and sixteen more characters, left by `print(os.environ)`.

    Use instead:
        Clear the output, and make the secret invalid where it was issued: it has been seen. Read secrets with
        `rasen.secret("name")`, whose value is masked wherever it is shown.
    """

    code = "NB302"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each cell whose outputs show secrets."""
        for index, outputs in document.outputs.items():
            names = {name for text in readable_texts(outputs) for name in _secrets(text)}
            if names:
                shown = ", ".join(sorted(names))
                message = f"the output shows a secret ({shown}); clear it, and have the secret replaced"
                fix = Fix(title="Clear the outputs of this cell", cleared=frozenset({index}))
                yield finding_at(self.code, self.severity, message, document.notebook.cells[index], fix=fix)


def _secrets(text: str) -> Iterator[str]:
    """Yield the names of the forms in a text; the first of each is enough, and what follows may be megabytes."""
    return (shape.name for shape in SHAPES if shape.needle in text and shape.pattern.search(text))
