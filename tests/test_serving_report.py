"""What a replica reports for people to be told: answers of somebody else, and what may not be executed."""

from rasen_serving.counts import Counts
from rasen_serving.messages import Version
from rasen_serving.quarantine import Quarantine
from rasen_serving.report import variant_reports


def version(run: str) -> Version:
    return Version(
        run=run,
        pipeline="demand",
        manifest_sha256=f"digest of {run}",
        files={},
        versions={},
        schema={},
        major=1,
        metrics={},
        description="",
        trained_until=None,
        published_at="",
    )


def test_answers_of_somebody_else_are_counted_by_reason() -> None:
    counts = Counts()

    def answered(source: str, reason: str, *, status: int = 200, role: str = "champion") -> None:
        counts.add(
            endpoint="demand",
            model="run",
            role=role,
            revision=3,
            status=status,
            source=source,
            reason=reason,
            rows=1,
            seconds=0.001,
        )

    answered("model", "")
    for reason in ("error", "error", "stale"):
        answered("profile", reason)
    answered("", "", status=503)
    answered("champion", "", role="challenger")
    reports = {report.role: report for report in variant_reports(counts.series())}
    assert (reports["champion"].requests, reports["champion"].errors) == (5, 4)
    assert reports["champion"].fallbacks == {"error": 2, "stale": 1}
    assert reports["challenger"].fallbacks == {"champion": 1}


def test_a_quarantine_is_told_for_as_long_as_it_is_why_something_is_not_served() -> None:
    quarantine = Quarantine()
    assert not quarantine.note_death(version("a"), "killed by SIGSEGV")
    assert quarantine.note_death(version("a"), "killed by SIGSEGV")
    reason = quarantine.reason(version("a"))
    assert "a is in quarantine" in reason
    assert quarantine.among(["it is damaged", reason]) == {"a": reason}
    assert quarantine.among(["it is damaged"]) == {}
