# ---
# title: Score rows in batch with the live model
# description: >-
#   Predicts with whatever version is live at this moment, verified before it was loaded, and saves the scores with
#   the run that made the model. In pipeline.yaml the step declares `models: [<endpoint>]`, and `tables:` shows the
#   result.
# tags: [pipeline, scoring, tables]
# placeholders:
#   rows: {default: rows, description: DataFrame to score}
#   endpoint: {default: flight_demand, description: name of the endpoint}
#   keys: {default: [origin, time_hour], description: columns that together name a row}
#   table: {default: scores, description: name under which the scores are saved}
# ---
import rasen

if __rows__.empty or __rows__.duplicated(__keys__).any():
    raise ValueError("there must be rows to score, and each with its own __keys__")
live = rasen.load_model("__endpoint__")
scores = __rows__[__keys__].assign(score=live.predict(__rows__), model=live.run).reset_index(drop=True)
rasen.save_table("__table__", scores)
print(f"{len(scores):,} rows scored by run {live.run}, mean {scores['score'].mean():.3f}")
