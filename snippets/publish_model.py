# ---
# title: Publish the model
# description: >-
#   Once a run, in the training notebook. The example shows callers a request: a usual row, and one without the
#   columns that may be missing, which thereby become nullable. The evaluation rows let the gates compare this version
#   with the live one; no row of them may have been learned from.
# tags: [publish, training]
# placeholders:
#   model: {default: model, description: "the fitted model, or a function of a DataFrame"}
#   train: {default: train, description: DataFrame that it learned from}
#   held_out: {default: held_out, description: DataFrame with later rows}
#   inputs: {default: inputs, description: list of the model's columns}
#   may_be_missing: {default: "[]", type: expression, description: list of inputs that a request may leave out}
#   target: {default: departures, description: column that is predicted}
#   time: {default: time_hour, description: column that says when}
#   slices: {default: [origin], description: columns by whose values the gates look}
#   profile: {default: profile, description: the profile from rasen.build_profile}
# ---
import pandas as pd

import rasen

if __held_out__["__time__"].min() <= __train__["__time__"].max():
    raise ValueError(
        "rows of __held_out__ are not later than all of __train__: their numbers promise too much"
    )
usual = __train__.dropna(subset=__inputs__).tail(1)[__inputs__]
if usual.empty:
    raise ValueError("no row of __train__ has all inputs, so none can be the example")
unknown = usual.assign(**dict.fromkeys(__may_be_missing__))
example = pd.concat([usual, unknown] if __may_be_missing__ else [usual], ignore_index=True)
example = example.astype({name: __train__[name].dtype for name in __inputs__})
needed = dict.fromkeys([*__inputs__, "__target__", "__time__", *__slices__])
rasen.publish(
    __model__,
    example=example,
    profile=__profile__,
    evaluation=__held_out__[list(needed)],
    target="__target__",
    time="__time__",
    slices=__slices__,
    trained_until=__train__["__time__"].max(),
)
