"""What gates that compare with the live version say where there is none, or none that can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rasen.deploy.gates.measured import Unmeasured
from rasen.tracking.ledger_records import GateVerdict

if TYPE_CHECKING:
    from rasen.deploy.evidence import Evidence, Version


def the_candidate(evidence: Evidence) -> Version:
    """Return the version that is judged.

    Raises:
        Unmeasured: There is none, only metrics.
    """
    if evidence.candidate is None:
        raise Unmeasured("there is no model version to judge, only metrics", "missing")
    return evidence.candidate


def is_first(evidence: Evidence) -> bool:
    """Return whether no version is live, so that nothing can be compared with it."""
    return evidence.champion is None and not evidence.champion_problem


NO_LIVE_VERSION = "there is no live version to compare with"


def first(name: str, told: str) -> GateVerdict:
    """Return the verdict where no version is live; `told` is what would have been compared."""
    return GateVerdict(gate=name, answer="pass", outcome="first", reason=f"{told}: {NO_LIVE_VERSION}")


def unavailable(name: str, problem: str, *, answer: Literal["fail", "hold"] = "hold") -> GateVerdict:
    """Return the verdict where a version is live that cannot be compared with."""
    return GateVerdict(gate=name, answer=answer, outcome="unavailable", reason=problem)


def executed_another(evidence: Evidence) -> str:
    """Return why what `_qualify` got from a live version is not from the present one, `""` if it is."""
    if evidence.champion is None:
        return f"the live version cannot be looked at: {evidence.champion_problem}"
    live = evidence.champion.run
    executed = evidence.qualification.get("champion")
    if not isinstance(executed, dict):
        return f"`_qualify` compared it with no live version; live now is {live}"
    if executed.get("run") != live:
        return f"`_qualify` compared it with {str(executed.get('run'))[:80]}; live now is {live}"
    return ""


def why_silent(evidence: Evidence) -> str:
    """Return why `_qualify` got nothing from the live version, `""` when it does not say."""
    executed = evidence.qualification.get("champion")
    reason = executed.get("reason") if isinstance(executed, dict) else ""
    return f"`_qualify` got nothing from the live version: {str(reason)[:500]}" if reason else ""
