"""How rows share calls: compiled engines get as many as then, a model gets many, or whole requests."""

from hypothesis import given
from hypothesis import strategies as st

from rasen.replay.calls import CHOSEN, MANY_ROWS, NATIVE, PROFILE, AskedRow, plan_calls

ROWS = st.lists(
    st.builds(
        AskedRow,
        text=st.just("{}"),
        request=st.integers(0, 5),
        engine=st.sampled_from([NATIVE, PROFILE, CHOSEN, "folded", "onnx"]),
        batch_rows=st.integers(0, 7),
    ),
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda row: row.request))


@given(rows=ROWS, row_wise=st.booleans(), exact=st.booleans())
def test_each_row_is_asked_once(rows: list[AskedRow], row_wise: bool, exact: bool) -> None:
    calls = plan_calls(rows, row_wise=row_wise, exact=exact)
    assert sorted(position for call in calls for position in call.rows) == list(range(len(rows)))
    assert all(0 < len(call.rows) <= (call.size or MANY_ROWS) for call in calls)


@given(rows=ROWS)
def test_compiled_engines_are_called_with_as_many_rows_as_then(rows: list[AskedRow]) -> None:
    for call in plan_calls(rows, row_wise=True):
        for position in call.rows:
            assert call.engine == rows[position].engine
            compiled = call.engine not in (NATIVE, PROFILE, CHOSEN)
            assert call.size == (rows[position].batch_rows if compiled else 0)


@given(rows=ROWS)
def test_a_model_that_looks_at_whole_requests_gets_whole_requests(rows: list[AskedRow]) -> None:
    calls = plan_calls(rows, row_wise=False)
    for call in calls:
        assert len({rows[position].request for position in call.rows}) == 1
        assert call.engine in (NATIVE, PROFILE)
    assert len(calls) == len({row.request for row in rows})


def test_a_model_is_called_with_as_many_rows_as_then_when_that_is_asked_for() -> None:
    rows = [AskedRow(text="{}", request=n, engine=NATIVE, batch_rows=2) for n in range(5)]
    assert [call.rows for call in plan_calls(rows, row_wise=True)] == [(0, 1, 2, 3, 4)]
    exact = plan_calls(rows, row_wise=True, exact=True)
    assert [(call.rows, call.size) for call in exact] == [((0, 1), 2), ((2, 3), 2), ((4,), 2)]
