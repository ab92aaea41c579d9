"""The `schema` gate: what clients rely on, and the major version that says when it changed; approvals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasen.data.columns import ColumnType
from rasen.deploy.gates.approval import may_approve
from rasen.model.schema import Column, ModelSchema, Output, breaking_changes
from rasen.pipeline_gates_contract import ApprovalGate, SchemaGate
from stand.evidence import CHAMPION, evidence, verdict, version

GATE = SchemaGate(kind="schema")
HOUR = Column(name="hour", type=ColumnType.INT64)
ORIGIN = Column(name="origin", type=ColumnType.STRING)
WIND = Column(name="wind", type=ColumnType.FLOAT64, nullable=True)
NUMBER = Output(kind="scalar", type=ColumnType.FLOAT64)
INTERVAL = Output(
    kind="columns",
    columns=(Column(name="low", type=ColumnType.FLOAT64), Column(name="high", type=ColumnType.FLOAT64)),
)


def schema(*inputs: Column, output: Output = NUMBER) -> dict[str, object]:
    return ModelSchema(inputs=inputs, output=output).to_dict()


LIVE = schema(HOUR, ORIGIN)


@pytest.mark.parametrize(
    ("new", "major", "answer", "outcome", "reason"),
    [
        (
            LIVE,
            2,
            "pass",
            "compatible",
            "clients of the live version go on working: 2 inputs, output float64",
        ),
        (
            schema(HOUR, ORIGIN, WIND),
            2,
            "pass",
            "compatible",
            "clients of the live version go on working: 3 inputs, output float64; new and nullable: 'wind'",
        ),
        (
            schema(HOUR),
            2,
            "fail",
            "breaking",
            (
                "clients of the live version would break: input 'origin' was removed; keep what they rely on, or write "
                "`deploy.major: 3`"
            ),
        ),
        (
            schema(HOUR, ORIGIN, output=INTERVAL),
            2,
            "fail",
            "breaking",
            (
                "clients of the live version would break: the output was float64, is {low: float64, high: float64}; "
                "keep what they rely on, or write `deploy.major: 3`"
            ),
        ),
        (schema(HOUR), 3, "pass", "raised", "major rises from 2 to 3: input 'origin' was removed"),
        (
            LIVE,
            3,
            "pass",
            "raised",
            "major rises from 2 to 3: nothing that clients of the live version rely on has changed",
        ),
        (
            LIVE,
            1,
            "fail",
            "lower",
            "major 1 is below that of the live version, 2; write `deploy.major: 2`, or one more if clients would break",
        ),
        (
            schema(HOUR),
            1,
            "fail",
            "lower",
            (
                "major 1 is below that of the live version, 2; write `deploy.major: 2`, or one more if clients would "
                "break: input 'origin' was removed"
            ),
        ),
    ],
)
def test_a_breaking_change_needs_a_higher_major_version(
    new: dict[str, object], major: int, answer: str, outcome: str, reason: str
) -> None:
    live = version(CHAMPION, schema=LIVE, major=2)
    found = verdict(GATE, evidence(candidate=version(schema=new, major=major), champion=live))
    assert (found.gate, found.answer, found.outcome, found.reason) == ("schema", answer, outcome, reason)
    assert found.numbers["champion_major"] == 2


def test_every_change_is_named() -> None:
    new = schema(
        Column(name="hour", type=ColumnType.STRING),
        Column(name="carrier", type=ColumnType.STRING),
        output=INTERVAL,
    )
    found = verdict(GATE, evidence(candidate=version(schema=new), champion=version(schema=LIVE)))
    for told in (
        "input 'hour' was int64, is string",
        "'origin' was removed",
        "'carrier' is new",
        "the output",
    ):
        assert told in found.reason
    assert found.numbers["breaking_changes"] == 4


def test_a_break_may_wait_for_a_person_instead() -> None:
    gate = SchemaGate(kind="schema", breaking="hold")
    live = version(schema=LIVE)
    assert verdict(gate, evidence(candidate=version(schema=schema(HOUR)), champion=live)).answer == "hold"
    lower = evidence(candidate=version(schema=LIVE), champion=version(schema=LIVE, major=2))
    assert verdict(gate, lower).answer == "fail"


def test_the_first_version_makes_the_contract() -> None:
    found = verdict(GATE, evidence(candidate=version(schema=LIVE, major=4)))
    assert (found.answer, found.outcome) == ("pass", "first")
    assert found.reason == "major 4, 2 inputs, output float64: there is no live version to compare with"


def test_what_cannot_be_read_is_not_taken_for_compatible() -> None:
    own = verdict(GATE, evidence(candidate=version(schema={"format": 9}), champion=version(schema=LIVE)))
    assert (own.answer, own.outcome) == ("fail", "unreadable")
    theirs = verdict(GATE, evidence(candidate=version(schema=LIVE), champion=version(schema={"format": 9})))
    assert (theirs.answer, theirs.outcome) == ("hold", "unavailable")
    gone = verdict(GATE, evidence(candidate=version(schema=LIVE), problem="the manifest is gone"))
    assert (gone.answer, gone.outcome) == ("hold", "unavailable")
    assert gone.reason == "the live version cannot be looked at: the manifest is gone"


columns = st.builds(
    Column,
    name=st.sampled_from(["hour", "origin", "wind"]),
    type=st.sampled_from(ColumnType),
    nullable=st.booleans(),
)
schemas = st.builds(
    ModelSchema,
    inputs=st.lists(columns, max_size=3, unique_by=lambda column: column.name).map(tuple),
    output=st.sampled_from([NUMBER, INTERVAL]),
)


@given(old=schemas, new=schemas, before=st.integers(1, 3), after=st.integers(1, 3))
def test_under_the_same_major_version_exactly_the_compatible_passes(
    old: ModelSchema, new: ModelSchema, before: int, after: int
) -> None:
    found = verdict(
        GATE,
        evidence(
            candidate=version(schema=new.to_dict(), major=after),
            champion=version(schema=old.to_dict(), major=before),
        ),
    )
    assert (found.answer == "pass") == (
        after > before or (after == before and not breaking_changes(old, new))
    )


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(inputs=json, output=json)
def test_whatever_stands_in_a_schema_no_gate_raises(inputs: object, output: object) -> None:
    strange = {"format": 1, "inputs": inputs, "output": output}
    for pair in ((strange, LIVE), (LIVE, strange)):
        found = verdict(GATE, evidence(candidate=version(schema=pair[0]), champion=version(schema=pair[1])))
        assert found.reason


@pytest.mark.parametrize(
    ("by", "reason", "told"),
    [
        (None, None, "waits for approval by anybody who may command: `rasen approve demand`"),
        (("ada",), None, "waits for approval by ada: `rasen approve demand`"),
        (
            ("ada", "bob", "eve"),
            "prices change",
            "waits for approval by ada, bob or eve (prices change): `rasen approve demand`",
        ),
    ],
)
def test_an_approval_names_the_command_and_who_may_give_it(
    by: tuple[str, ...] | None, reason: str | None, told: str
) -> None:
    gate = ApprovalGate(kind="approval", by=by, reason=reason)
    found = verdict(gate, evidence(endpoint="demand"))
    assert (found.gate, found.answer, found.outcome, found.reason) == ("approval", "hold", "waiting", told)
    assert may_approve(gate, "ada")
    assert may_approve(gate, "mallory") == (by is None)
    assert "`rasen approve ENDPOINT`" in verdict(gate, evidence()).reason
