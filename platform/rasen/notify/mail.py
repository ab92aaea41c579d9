"""E-mail: plain text through an SMTP server. All messages of an incident make one thread in a mail program."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import format_datetime

from rasen.batch.plain_text import clean_line
from rasen.errors import RasenError
from rasen.notify.answers import Answer, Postponed, Refused, Taken
from rasen.notify.configuration import EmailReceiver
from rasen.notify.message import Message
from rasen.notify.rendering import headline, plain_text

_MOST_SUBJECT = 180
_MOST_SAID = 120


class Mail:
    """One SMTP server.

    Args:
        receiver: What the operator's file says of it.
        password: Returns the password, `None` when nobody logs in; raises a `RasenError` when it cannot be had now.
    """

    def __init__(self, receiver: EmailReceiver, password: Callable[[], str] | None) -> None:
        self._receiver = receiver
        self._password = password

    def deliver(self, message: Message, recipients: tuple[str, ...]) -> Answer:
        """Send a message and return what the server answered; one mailbox that it takes is enough."""
        try:
            password = None if self._password is None else self._password()
        except RasenError as error:
            return Postponed(problem=str(error))
        server = self._receiver.server
        try:
            with self._connect() as smtp:
                if password is not None:
                    smtp.login(self._receiver.user, password)
                refused = smtp.send_message(build_mail(message, self._receiver.sender, recipients))
        except smtplib.SMTPRecipientsRefused as error:
            return _refusal(min(code for code, _ in error.recipients.values()), "no mailbox was taken")
        except smtplib.SMTPAuthenticationError as error:
            return Postponed(problem=f"{server} does not let us in ({error.smtp_code})")
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error
            text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
            return _refusal(error.smtp_code, clean_line(text, most=_MOST_SAID))
        except (OSError, smtplib.SMTPException) as error:
            reason = "it did not answer in time" if isinstance(error, TimeoutError) else str(error)
            return Postponed(problem=clean_line(f"{server} cannot be reached: {reason}", most=2 * _MOST_SAID))
        left_out = f", but not for {', '.join(sorted(refused))}" if refused else ""
        return Taken(
            said=f"taken for {len(recipients) - len(refused)} of {len(recipients)} mailboxes{left_out}"
        )

    def _connect(self) -> smtplib.SMTP:
        receiver = self._receiver
        if receiver.security == "tls":
            return smtplib.SMTP_SSL(
                receiver.server,
                receiver.port,
                timeout=receiver.timeout_seconds,
                context=ssl.create_default_context(),
            )
        smtp = smtplib.SMTP(receiver.server, receiver.port, timeout=receiver.timeout_seconds)
        if receiver.security == "starttls":
            try:
                smtp.starttls(context=ssl.create_default_context())
            except BaseException:
                smtp.close()
                raise
        return smtp


def build_mail(message: Message, sender: str, recipients: tuple[str, ...]) -> EmailMessage:
    """Return a message as mail. A second copy has the same Message-ID, so mail programs show one."""
    mail = EmailMessage()
    # A header is one line also for those who take U+2028 for the end of one.
    mail["Subject"] = " ".join(clean_line(headline(message), most=_MOST_SUBJECT).splitlines())
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = _identity(message.id)
    if message.event in ("reminder", "recovered"):
        mail["In-Reply-To"] = mail["References"] = _identity(f"{message.incident}-opened-1")
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Rasen-Incident"] = message.incident
    mail.set_content(plain_text(message))
    return mail


def _identity(name: str) -> str:
    return f"<{name}@alerts.rasen.invalid>"


def _refusal(code: int, said: str) -> Answer:
    """Return what an SMTP code means: 5xx is about this message, everything else passes."""
    problem = f"answered {code} {said}".strip()
    return Refused(problem=problem) if 500 <= code < 600 else Postponed(problem=problem)
