# ---
# title: Ask the prediction API
# description: >-
#   What a product service gets for these rows, fallback included: `source` says whether the model or the profile
#   answered. For many rows in a pipeline, `rasen.load_model` is quicker and asks no service.
# tags: [api, scoring]
# placeholders:
#   rows: {default: rows, description: DataFrame with what to ask}
#   inputs: {default: inputs, description: list of the columns to send}
#   endpoint: {default: flight_demand, description: name of the endpoint}
#   url: {default: "http://127.0.0.1:8080", description: address of the service}
#   api_key: {default: "None", type: expression, description: "None, or rasen.secret(reference) for a key"}
#   batch: {default: 1000, description: rows in one request}
# ---
from collections import Counter

import rasen

if __rows__.empty:
    raise ValueError("there is no row to ask for")
predictions, sources = [], Counter()
with rasen.Client("__url__", api_key=__api_key__) as client:
    for first in range(0, len(__rows__), __batch__):
        part = __rows__[__inputs__].iloc[first : first + __batch__]
        answer = client.predict("__endpoint__", part)
        predictions += answer.predictions
        sources[f"{answer.source} of run {answer.model}"] += len(part)
__rows__ = __rows__.assign(predicted=predictions)
print("; ".join(f"{count:,} rows from the {source}" for source, count in sources.items()))
