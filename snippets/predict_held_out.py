# ---
# title: Predict the held-out rows
# description: >-
#   Once, with the final model, after every choice was made: whoever looks twice chooses by what should judge. Later
#   steps and gate notebooks load the table; plots and metrics of this notebook read the column.
# tags: [evaluation, tables]
# placeholders:
#   model: {default: model, description: the fitted model}
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   inputs: {default: inputs, description: list of the model's columns}
#   table: {default: predictions, description: name under which later steps load it}
# ---
import numpy as np

import rasen

predicted = np.asarray(__model__.predict(__held_out__[__inputs__]), dtype="float64")
finite = np.isfinite(predicted).sum()
if len(predicted) != len(__held_out__) or finite != len(predicted):
    raise ValueError(
        f"{len(__held_out__):,} rows got {len(predicted):,} predictions, {finite:,} of them finite"
    )
__held_out__ = __held_out__.assign(predicted=predicted)
rasen.save_table("__table__", __held_out__.reset_index(drop=True))
print(f"{len(predicted):,} rows predicted, from {predicted.min():.2f} to {predicted.max():.2f}")
