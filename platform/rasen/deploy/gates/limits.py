"""Several limits of one gate: each is told, the worst decides."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from rasen.tracking.ledger_records import GateVerdict


@dataclass
class Findings:
    """What a gate with upper limits has found so far.

    Args:
        numbers: What goes into the verdict.
    """

    numbers: dict[str, float]
    _sentences: list[str] = field(default_factory=list)
    _above: bool = False
    _unavailable: bool = False
    _outcome: str = "within"

    def limit(
        self, key: str, most: float, value: float, sentence: str, *, shown: float | None = None
    ) -> None:
        """Hold `value` against the limit `most`; a value on the limit is within.

        Args:
            key: The limit's name among the numbers.
            most: The limit.
            value: What was measured.
            sentence: What is told, with `{}` for "above" or "at most".
            shown: What goes among the numbers instead of `most`.
        """
        self.numbers[key] = most if shown is None else shown
        above = value > most
        self._above = self._above or above
        self._sentences.append(sentence.format("above" if above else "at most"))

    def hold(self, problem: str) -> None:
        """Note that one limit could not be looked at: a person decides, unless another one is exceeded."""
        self._unavailable = True
        self._sentences.append(problem)

    def tell(self, sentence: str, outcome: str) -> None:
        """Note what explains a pass."""
        self._outcome = outcome
        self._sentences.append(sentence)

    def verdict(self, name: str) -> GateVerdict:
        """Return the answer to all of it."""
        answer: Literal["pass", "fail", "hold"] = "pass"
        outcome = self._outcome
        if self._above:
            answer, outcome = "fail", "above"
        elif self._unavailable:
            answer, outcome = "hold", "unavailable"
        return GateVerdict(
            gate=name, answer=answer, outcome=outcome, numbers=self.numbers, reason="; ".join(self._sentences)
        )
