# ---
# title: Judge the cost in a gate notebook
# description: >-
#   The heart of a gate notebook, which runs with every candidate and with the live version: `rasen.load_model`
#   returns the one that is judged. In pipeline.yaml under `deploy.gates`: `{kind: notebook, notebook: simulate.ipynb,
#   metric: cost, direction: minimize, better_than: champion}`. Its parameters cell holds the two costs; it publishes
#   nothing.
# tags: [business, evaluation, gate]
# placeholders:
#   table: {default: predictions, description: "table of held-out rows that the training step saved, with the target"}
#   endpoint: {default: flight_demand, description: the pipeline's endpoint}
#   target: {default: departures, description: column with what really was}
#   too_little: {default: delay_cost, description: "parameter: what one that was not foreseen costs"}
#   too_much: {default: idle_cost, description: "parameter: what one that was foreseen in vain costs"}
# ---
import rasen

held_out = rasen.load_table("__table__")
if held_out.empty or held_out["__target__"].isna().any():
    raise ValueError("__table__ must have rows, and in each of them __target__")
forecast = rasen.load_model("__endpoint__").predict(held_out)
gap = held_out["__target__"] - forecast
cost = (gap.clip(lower=0) * __too_little__ + (-gap).clip(lower=0) * __too_much__).mean()
rasen.log_metrics(cost=cost)
print(f"planning by this version costs {cost:,.2f} a row")
