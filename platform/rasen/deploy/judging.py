"""What is to be said of one candidate: its evidence is gathered, the declared gates judge it, a sentence says why.

Only bytes that the candidate's manifest, or the champion's, names by digest are looked at, and nothing is executed. All
gates are judged and recorded, also after one has failed: whoever reads the refusal should see all of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rasen.deploy.candidate import Candidate, check_contents, read_results
from rasen.deploy.contracts import what_breaks
from rasen.deploy.evidence import Evaluation, Evidence, RunFiles, Version, parse_evaluation
from rasen.deploy.gates import default_gates, judge
from rasen.deploy.gates.measured import Measured, Unmeasured
from rasen.deploy.heads import Head
from rasen.deploy.memory import Memory
from rasen.deploy.requalification import requalification_of
from rasen.deploy.rollout import champion_of
from rasen.errors import DigestMismatch, InvalidInput, ModelFailed, ObjectNotFound, TrustError
from rasen.pipeline_deploy import Deploy
from rasen.pipeline_gates import DeclaredGate
from rasen.pipeline_gates_contract import SchemaGate
from rasen.store import Store
from rasen.tracking.ids import instant_of
from rasen.tracking.keys import QUALIFY_STEP
from rasen.tracking.ledger_records import Action, GateVerdict
from rasen.tracking.records import FileRecord, Metric, StepResult, UnreadableRecord

_METRICS_MAX = 200  # a record is read again by every later decision
_PAST_LIVE = (
    200  # versions that went live, for the gates that look back: twenty of one weekday, of nightly runs
)
_NUMBERS_ONLY = frozenset({"baseline", "threshold"})  # kinds of gates that look at nothing but metrics

_Refusals = (TrustError, ObjectNotFound, UnreadableRecord, InvalidInput, ModelFailed)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be said of a candidate.

    Args:
        action: `deploy`, `hold` or `refuse`; the command's where a person has decided.
        reason: Why, in words.
        verdicts: Of the gates, in the declared order.
        metrics: Of all rows, for the ledger.
        waits_for: Names of the gates that hold it.
        request: Id of the request for a new qualification that is to be filed, `""` for none.
        actor: Who decided.
    """

    action: Action
    reason: str
    verdicts: tuple[GateVerdict, ...] = ()
    metrics: tuple[tuple[str, float], ...] = ()
    waits_for: tuple[str, ...] = ()
    request: str = ""
    actor: str = "function"


def refuse(reason: str) -> Judgement:
    """Return a refusal."""
    return Judgement(action="refuse", reason=reason)


def judge_candidate(
    memory: Memory, candidate: Candidate, conditions: Deploy, *, endpoint: str, head: Head
) -> Judgement:
    """Return what the gates say of a candidate, beside the champion that the ledger's head names.

    Raises:
        StoreUnavailable: The store is down; nothing can be said.
    """
    try:
        results = check_contents(
            memory.store, candidate, environment=memory.environment, scratch_dir=memory.scratch_dir
        )
    except _Refusals as error:
        return refuse(str(error))
    metrics = [metric for result in results.values() for metric in result.metrics]
    gates = _default_gates(memory, candidate, metrics, head) if conditions.gates is None else conditions.gates
    evidence = _gather(memory, candidate, results, gates, endpoint=endpoint, head=head)
    verdicts = judge(gates, evidence)
    champion = champion_of(head.state)
    stale = champion is not None and candidate.model.qualification.champion != champion.run
    request = None
    if stale and champion is not None:
        request = requalification_of(candidate, champion.run)
        for place, gate in enumerate(gates):
            if gate.executes_champion:
                verdicts[place] = _compared_with_another(candidate, champion.run, gate, request)
    judgement = _sum_up(verdicts)
    measured = {metric.name: metric.value for metric in metrics if not metric.slice}
    compares = any(gate.executes_champion for gate in gates)
    return Judgement(
        action=judgement.action,
        reason=judgement.reason,
        verdicts=tuple(verdicts),
        metrics=tuple(sorted(measured.items())[:_METRICS_MAX]),
        waits_for=judgement.waits_for,
        request=request or "" if judgement.action == "hold" and compares else "",
    )


def _default_gates(
    memory: Memory, candidate: Candidate, metrics: Sequence[Metric], head: Head
) -> list[DeclaredGate]:
    """Return what a pipeline that declares no gates must pass: it never breaks clients of the live version silently."""
    gates = default_gates(metrics)
    champion, _ = _champion(memory, head)
    if champion is not None and (
        what_breaks(champion.model, candidate.model) or candidate.model.major < champion.model.major
    ):
        gates.append(SchemaGate(kind="schema"))
    return gates


def _sum_up(verdicts: Sequence[GateVerdict]) -> Judgement:
    wrong = [verdict for verdict in verdicts if verdict.answer != "pass"]
    if not verdicts:
        return Judgement(
            action="deploy",
            reason="no gate is declared and no metric has a profile_ partner: deployed on its qualification alone",
        )
    passed = f"{len(verdicts) - len(wrong)} of {len(verdicts)} gates passed"
    # What passed speaks for a deployment; what did not is all that a reader of a refusal looks for.
    told = wrong or list(verdicts)
    reason = f"{passed}: " + "; ".join(verdict.reason for verdict in told)
    if any(verdict.answer == "fail" for verdict in wrong):
        return Judgement(action="refuse", reason=reason)
    if wrong:
        return Judgement(action="hold", reason=reason, waits_for=tuple(verdict.gate for verdict in wrong))
    return Judgement(action="deploy", reason=reason)


def _compared_with_another(
    candidate: Candidate, champion: str, gate: DeclaredGate, request: str | None
) -> GateVerdict:
    then = candidate.model.qualification.champion
    compared = f"compared with {then}" if then is not None else "compared with no live version"
    what_now = (
        f"its qualification is asked for again ({request})"
        if request is not None
        else "qualifying it anew did not compare them; `rasen override` lets it in"
    )
    return GateVerdict(
        gate=gate.label,
        answer="hold",
        outcome="champion changed",
        reason=f"{gate.label}: it was {compared}, but {champion} is live now; {what_now}",
    )


def _gather(
    memory: Memory,
    candidate: Candidate,
    results: dict[str, StepResult],
    gates: Sequence[DeclaredGate],
    *,
    endpoint: str,
    head: Head,
) -> Evidence:
    metrics = [metric for result in results.values() for metric in result.metrics]
    if all(gate.kind in _NUMBERS_ONLY for gate in gates):
        return Evidence.of_metrics(metrics)
    files = RunFiles(results, lambda file: _read_checked(memory.store, file))
    champion, problem = _champion(memory, head)

    def read_evaluation() -> Evaluation:
        try:
            data = files.read_file(QUALIFY_STEP, "/evaluation.parquet")
        except (TrustError, ObjectNotFound) as error:
            raise Unmeasured(f"the evaluation rows are not what was published: {error}", "missing") from error
        if data is None:
            raise Unmeasured(
                "the run published no evaluation rows; give `evaluation=` to rasen.publish", "missing"
            )
        return parse_evaluation(data)

    qualified = results.get(QUALIFY_STEP)
    return Evidence(
        measured=Measured(metrics),
        metrics=metrics,
        at=instant_of(candidate.run),
        candidate=Version(
            run=candidate.run,
            pipeline=candidate.pipeline,
            model=candidate.model,
            metrics=metrics,
            files=files,
        ),
        champion=champion,
        champion_problem=problem,
        qualification=(qualified.qualification or {}) if qualified is not None else {},
        endpoint=endpoint,
        past=memory.past.versions(endpoint, head=head.number, live=_PAST_LIVE),
        read_evaluation=read_evaluation,
    )


def _champion(memory: Memory, head: Head) -> tuple[Version | None, str]:
    """Return the live version and `""`, or `None` and why it cannot be looked at."""
    live = champion_of(head.state)
    if live is None:
        return None, ""
    found = memory.reopen(live.pipeline, live.run)
    if isinstance(found, str):
        return None, found
    try:
        results = read_results(memory.store, found.manifest)
    except _Refusals as error:
        return Version(run=found.run, pipeline=found.pipeline, model=found.model), str(error)
    return Version(
        run=found.run,
        pipeline=found.pipeline,
        model=found.model,
        metrics=[metric for result in results.values() for metric in result.metrics],
        files=RunFiles(results, lambda file: _read_checked(memory.store, file)),
    ), ""


def _read_checked(store: Store, file: FileRecord) -> bytes:
    data = store.read(file.key)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DigestMismatch(f"{file.key!r} is not the file that the manifest names")
    return data
