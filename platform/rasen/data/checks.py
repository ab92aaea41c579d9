"""What an analyst states about a table with pandera, checked as a whole: every failure is listed, not only the first.

pandera costs 1.5 s to import, so it is imported when there is a schema to check: then the notebook has paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rasen.errors import InvalidInput, ValidationFailed

if TYPE_CHECKING:
    import pandas as pd

_VALUES_SHOWN = 5
_VALUE_CHARACTERS = 80

# Pandera's names for what is no check of values.
_STRUCTURE = {
    "column_in_dataframe": "missing column",
    "column_in_schema": "column that the schema does not know",
}


def check(frame: pd.DataFrame, schema: object) -> pd.DataFrame:
    """Return the table as the schema has it, or end the run when it is not what the schema states.

    Args:
        frame: The table; it is not changed.
        schema: A pandera `DataFrameSchema`, or a class derived from its `DataFrameModel`.

    Returns:
        The table: with the dtypes of the schema where that says `coerce=True`, otherwise unchanged.

    Raises:
        ValidationFailed: Some rows or columns are not what the schema states; the message lists each failing check.
        InvalidInput: `frame` is no DataFrame, `schema` no schema of pandera for pandas, or pandera is not installed.
    """
    import pandas as pd

    try:
        import pandera.pandas as pandera
    except ModuleNotFoundError as error:
        raise InvalidInput(
            "check needs pandera, which is not installed: pip install 'rasen[batch]'"
        ) from error
    if not isinstance(frame, pd.DataFrame):
        raise InvalidInput(f"check takes a DataFrame and a schema; the first is {type(frame).__name__}")
    try:
        if isinstance(schema, type) and issubclass(schema, pandera.DataFrameModel):
            stated = schema.to_schema()
        elif isinstance(schema, pandera.DataFrameSchema):
            stated = schema
        else:
            raise InvalidInput(
                f"check takes a schema of pandera.pandas, a DataFrameSchema or a class derived from DataFrameModel; "
                f"the second is {schema!r:.{_VALUE_CHARACTERS}}"
            )
        # Failing rows are counted by their index, so labels that occur twice (after `pd.concat`) have to stand aside.
        renumbered = stated.index is None and not frame.index.is_unique
        checked = stated.validate(frame.reset_index(drop=True) if renumbered else frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise ValidationFailed(_describe(error.failure_cases, rows=len(frame))) from error
    except (pandera.errors.SchemaInitError, pandera.errors.SchemaDefinitionError) as error:
        raise InvalidInput(f"the schema itself is wrong: {error}") from error
    return checked.set_axis(frame.index[checked.index]) if renumbered else checked


def _describe(failures: pd.DataFrame, *, rows: int) -> str:
    """Say which column failed which check, in how many rows, with some of the values.

    Args:
        failures: Pandera's table: one line a failing value, its `index` missing where a whole column failed.
        rows: How many rows were checked.
    """
    whole_table = failures["schema_context"] == "DataFrameSchema"
    lines = []
    groups: Any = failures.groupby(  # Any: the stubs take keys for one label, not for two
        [failures["column"].mask(whole_table), "check"], sort=False, dropna=False
    )
    for (column, check_name), group in groups:
        place = f"column {column!r}, " if isinstance(column, str) else ""
        # A check of the whole table reports each column of a failing row: the value needs its column's name.
        values = list(
            dict.fromkeys(
                f"{value!r:.{_VALUE_CHARACTERS}}"
                if place or not name
                else f"{name}={value!r:.{_VALUE_CHARACTERS}}"
                for name, value in zip(group["column"], group["failure_case"], strict=True)
            )
        )
        shown = ", ".join(values[:_VALUES_SHOWN]) + (", …" if len(values) > _VALUES_SHOWN else "")
        failing = group["index"].nunique()
        count = f" fails in {failing:,} of {rows:,} rows" if failing else ""
        lines.append(f"  {place}{_STRUCTURE.get(check_name, f'check {check_name}')}{count}: {shown}")
    points = "1 point" if len(lines) == 1 else f"{len(lines)} points"
    return f"the table is not what the schema states, in {points}:\n" + "\n".join(lines)
