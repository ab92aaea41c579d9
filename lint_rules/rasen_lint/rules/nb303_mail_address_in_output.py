"""NB303: no output shows an e-mail address."""

from __future__ import annotations

from collections.abc import Iterator

from rasen_lint.document import Document, finding_at
from rasen_lint.finding import Finding, Fix, Severity
from rasen_lint.mail_addresses import find_addresses, shorten
from rasen_lint.output_texts import readable_texts


class MailAddressInOutput:
    """Check that no saved output shows the e-mail address of a person.

    What it does:
        Looks for addresses in printed text, tables and error messages. Addresses at `example.com` and the like,
        `noreply`, addresses of repositories (`git@github.com:…`), paths and scripts in HTML are left alone.

    Why it is bad:
        It is personal data, mostly a customer's, and a repository is the wrong place for it: it cannot be deleted
        there, and everybody with access has it.

    Example:
        `customers.head()` with a column of addresses, its output saved with the notebook.

    Use instead:
        Clear the output, and show only columns that say nothing about a person.
    """

    code = "NB303"
    severity = Severity.ERROR

    def check(self, document: Document) -> Iterator[Finding]:
        """Yield one finding for each cell whose outputs show addresses."""
        for index, outputs in document.outputs.items():
            found = dict.fromkeys(
                address for text in readable_texts(outputs) for address in find_addresses(text)
            )
            if found:
                shown = ", ".join(shorten(address) for address in list(found)[:3])
                more = f" and {len(found) - 3} more" if len(found) > 3 else ""
                message = f"the output shows e-mail addresses ({shown}{more}); clear it"
                fix = Fix(title="Clear the outputs of this cell", cleared=frozenset({index}))
                yield finding_at(self.code, self.severity, message, document.notebook.cells[index], fix=fix)
