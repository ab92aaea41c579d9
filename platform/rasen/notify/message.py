"""A message: the record that every receiver is given, and what a generic webhook is sent as JSON."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from pydantic import Field

from rasen.batch.plain_text import clean_line, clean_text, without_colours
from rasen.tracking.ledger_records import GateVerdict
from rasen.tracking.records import Part, Record

Event = Literal["opened", "reminder", "recovered", "test"]

_LINE_CHARACTERS = 300
_TEXT_CHARACTERS = 1500
_MOST_VERDICTS = 20


class Fault(Part):
    """What a step raised, and where.

    Args:
        name: The exception's class.
        message: What it said, masked and cut.
        cell: Index of the cell in the executed notebook, counted from 0.
        source: The cell's first lines.
    """

    name: str = ""
    message: str = ""
    cell: int | None = None
    source: str = ""


class Content(Part):
    """What there is to say of an incident; empty is what does not apply.

    Args:
        kind: One of `rasen.pipeline_alerts.AlertKind`, or `test`.
        title: The whole in one line.
        pipeline: Whose.
        endpoint: Which.
        owner: Who is asked, as `pipeline.yaml` says.
        run: The run, or the version.
        step: The step that did not succeed.
        fault: Its error.
        verdicts: What the gates answered, with their numbers.
        facts: What else is known, in the order in which it is shown.
        commands: What to type next.
        links: What to open.
    """

    kind: str
    title: str
    pipeline: str = ""
    endpoint: str = ""
    owner: str = ""
    run: str = ""
    step: str = ""
    fault: Fault | None = None
    verdicts: list[GateVerdict] = Field(default_factory=list)
    facts: dict[str, str] = Field(default_factory=dict)
    commands: list[str] = Field(default_factory=list)
    links: list[str] = Field(default_factory=list)

    def cleaned(self, mask: Callable[[str], str]) -> Content:
        """Return it without secrets and control characters, cut to what a person reads in a message."""

        def line(text: str) -> str:
            return clean_line(mask(text), most=_LINE_CHARACTERS)

        def block(text: str) -> str:
            kept = without_colours(clean_text(mask(text))).strip("\n")
            return kept if len(kept) <= _TEXT_CHARACTERS else kept[: _TEXT_CHARACTERS - 1] + "…"

        fault = self.fault
        return self.model_copy(
            update={
                "title": line(self.title),
                "owner": line(self.owner),
                "step": line(self.step),
                "fault": fault
                and Fault(
                    name=line(fault.name),
                    message=block(fault.message),
                    cell=fault.cell,
                    source=block(fault.source),
                ),
                "verdicts": [
                    verdict.model_copy(
                        update={
                            "gate": line(verdict.gate),
                            "outcome": line(verdict.outcome),
                            "reason": line(verdict.reason),
                            "numbers": {line(name): number for name, number in verdict.numbers.items()},
                        }
                    )
                    for verdict in self.verdicts[:_MOST_VERDICTS]
                ],
                "facts": {line(name): line(said) for name, said in self.facts.items()},
            }
        )


class Message(Record):
    """One message about one incident.

    Args:
        id: Names the message wherever it is sent and however often: whoever gets an id twice drops the second.
        event: What the message is about: the incident began, goes on, or is over.
        incident: Names the incident, as `rasen alerts` lists it.
        environment: Of the platform.
        content: What there is to say.
        count: How often it happened since it began.
        opened_at: When it began, by the store's clock.
        at: When what is told of happened, by the store's clock.
        ended: Why it is over, of `recovered`.
        dropped: So many older messages to this receiver were dropped since the last one that reached it.
    """

    id: str
    event: Event
    incident: str
    environment: str
    content: Content
    count: int = 1
    opened_at: datetime
    at: datetime
    ended: str = ""
    dropped: int = 0
