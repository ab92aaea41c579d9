"""The snippet `split_by_time`, executed on rows around an instant."""

from typing import Any

import pandas as pd
import pytest

from stand.snippets import read_snippet

CODE = read_snippet("split_by_time").fill(rows="flights", time="departed_at", test_from="first_day")


def split(times: list[str | None], first_day: str) -> dict[str, Any]:
    names: dict[str, Any] = {
        "flights": pd.DataFrame(
            {
                "departed_at": pd.to_datetime(pd.Series(times), utc=True, format="ISO8601"),
                "row": range(len(times)),
            }
        ),
        "first_day": first_day,
    }
    exec(compile(CODE, "split_by_time", "exec"), names)
    return names


def test_every_row_is_on_one_side(capsys: pytest.CaptureFixture[str]) -> None:
    names = split(["2013-08-31 23:59", "2013-09-01 00:00", "2013-08-01", "2013-09-02"], "2013-09-01")
    assert names["train"]["row"].tolist() == [0, 2]
    assert names["held_out"]["row"].tolist() == [1, 3]
    said = capsys.readouterr().out
    assert said.startswith(
        "train: 2 rows until 2013-08-31 23:59:00+00:00, held out: 2 from 2013-09-01 00:00:00+00:00"
    )


def test_rows_without_a_time_are_refused() -> None:
    with pytest.raises(ValueError, match="rows without departed_at belong to neither side"):
        split(["2013-08-01", None, "2013-09-02"], "2013-09-01")


@pytest.mark.parametrize("first_day", ["2013-01-01", "2014-01-01"])
def test_empty_side_is_refused(first_day: str) -> None:
    with pytest.raises(ValueError, match="is empty"):
        split(["2013-08-01", "2013-09-02"], first_day)
