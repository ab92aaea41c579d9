"""What pipeline.yaml may say of the gates champion, history and slice, and what is said to anything else."""

import pytest

from rasen.errors import PipelineError
from rasen.pipeline import parse_pipeline
from rasen.pipeline_gates import DeclaredGate
from rasen.pipeline_gates_statistical import ChampionGate, HistoryGate, SliceGate

HEAD = "name: demand\nowner: mobility\nsteps: {train: {notebook: train.ipynb}}\ndeploy:\n  gates:\n    - "


def declared(gate: str) -> DeclaredGate:
    gates = parse_pipeline(HEAD + gate + "\n").deploy.gates
    assert gates is not None
    (only,) = gates
    return only


def test_the_gates_of_the_design_are_read() -> None:
    champion = declared("{kind: champion, metric: rmse, test: paired_bootstrap, margin: 2%}")
    assert isinstance(champion, ChampionGate)
    assert (champion.margin, champion.confidence, champion.inconclusive) == (0.02, 0.95, "hold")
    assert champion.executes_champion
    history = declared("{kind: history, metric: rmse, within: 3 sigma, over: 20}")
    assert history == HistoryGate(kind="history", metric="rmse")
    assert history.label == "history rmse"
    slices = declared("{kind: slice, metric: rmse, by: origin, worst: 1.5x}")
    assert slices == SliceGate(kind="slice", metric="rmse", by="origin")
    assert (slices.label, slices.executes_champion) == ("slice rmse origin", False)


def test_every_key_is_read() -> None:
    champion = declared(
        "{kind: champion, metric: accuracy, test: mcnemar, margin: 0.01, confidence: 99%, inconclusive: pass}"
    )
    assert isinstance(champion, ChampionGate)
    assert (champion.chosen_test, champion.confidence, champion.inconclusive) == ("mcnemar", 0.99, "pass")
    blocks = declared("{kind: champion, metric: auc, block: 1d}")
    assert isinstance(blocks, ChampionGate)
    assert (blocks.chosen_test, blocks.block_seconds) == ("delong", 86_400)
    history = declared(
        "{kind: history, metric: revenue, direction: maximize, within: 2.5 sigma, over: 50, season: weekday, "
        "least: 8, flaps: 4}"
    )
    assert isinstance(history, HistoryGate)
    assert (history.within, history.season, history.least, history.flaps) == (2.5, "weekday", 8, 4)
    slices = declared(
        "{kind: slice, metric: auc, by: origin, worst: 2x, against: champion, least_rows: 100, confidence: 0.9}"
    )
    assert isinstance(slices, SliceGate)
    assert (slices.worst, slices.against, slices.least_rows, slices.confidence) == (2.0, "champion", 100, 0.9)
    assert slices.executes_champion


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("{kind: champion}", "`metric` is missing"),
        (
            "{kind: champion, metric: revenue, direction: maximize}",
            "'revenue' cannot be computed again from rows",
        ),
        (
            "{kind: champion, metric: rmse, test: mcnemar}",
            "`test: mcnemar` does not compare rmse; write `test: paired",
        ),
        (
            "{kind: champion, metric: auc, test: paired_bootstrap}",
            "does not compare auc; write `test: delong`",
        ),
        (
            "{kind: champion, metric: accuracy, test: delong}",
            "write `test: paired_bootstrap` or `test: mcnemar`",
        ),
        ("{kind: champion, metric: rmse, test: wilcoxon}", "'paired_bootstrap', 'mcnemar' or 'delong'"),
        ("{kind: champion, metric: rmse, by: origin, block: 1d}", "both say which rows count as one"),
        ("{kind: champion, metric: accuracy, test: mcnemar, block: 1d}", "takes every row for independent"),
        ("{kind: champion, metric: rmse, confidence: 100%}", "is no confidence; write 80% to 99.5%"),
        ("{kind: champion, metric: rmse, confidence: 5%}", "is no confidence"),
        ("{kind: champion, metric: rmse, confidence: yes}", "'yes' is no confidence"),
        ("{kind: champion, metric: rmse, confidence: true}", "is no confidence"),
        ("{kind: champion, metric: rmse, margin: 100%}", "less than 1"),
        ("{kind: champion, metric: rmse, inconclusive: fail}", "'hold' or 'pass'"),
        ("{kind: champion, metric: rmse, block: daily}", "is not a duration"),
        ("{kind: champion, metric: rmse, direction: maximize}", "is better when it is minimized"),
        ("{kind: champion, metric: rmse, margins: 2%}", "did you mean 'margin'?"),
        ("{kind: history, metric: revenue}", "add `direction: minimize` or `direction: maximize`"),
        ("{kind: history, metric: rmse, within: 3 sigmas}", "is no width of a band"),
        ("{kind: history, metric: rmse, over: 4}", "`least` 5 is more than `over` 4"),
        ("{kind: history, metric: rmse, over: 2}", "greater than or equal to 3"),
        ("{kind: history, metric: rmse, season: month}", "'weekday' or 'hour'"),
        ("{kind: history, metric: rmse, flaps: 1}", "greater than or equal to 2"),
        ("{kind: slice, metric: rmse}", "`by` is missing: slice column"),
        ("{kind: slice, metric: mape, direction: minimize, by: origin}", "'mape' cannot be computed again"),
        ("{kind: slice, metric: rmse, by: origin, worst: 50%}", "is no factor"),
        ("{kind: slice, metric: rmse, by: origin, worst: 0.5x}", "is no factor"),
        ("{kind: slice, metric: rmse, by: origin, least_rows: 5}", "greater than or equal to 10"),
        ("{kind: slice, metric: rmse, by: origin, against: profile}", "'overall' or 'champion'"),
        ("{kind: slices, metric: rmse, by: origin}", "unknown gate kind 'slices': did you mean 'slice'?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(gate: str, message: str) -> None:
    with pytest.raises(PipelineError) as caught:
        declared(gate)
    assert message in str(caught.value)
    assert "line 6: deploy.gates[0]" in str(caught.value)


@pytest.mark.parametrize("kind", ["champion", "history", "slice"])
def test_a_table_has_no_rows_and_no_history_to_be_judged_by(kind: str) -> None:
    with pytest.raises(PipelineError, match="judges a model"):
        parse_pipeline(
            "name: demand\nowner: mobility\nsteps: {train: {notebook: train.ipynb}}\n"
            f"tables: {{x: {{step: train, table: y, gates: [{{kind: {kind}, metric: rmse, by: z}}]}}}}\n"
        )
