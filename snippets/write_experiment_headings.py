# ---
# title: Headings of an experiment
# description: >-
#   What a reader needs in order to judge a notebook and to go on from it: why it was done, on what, how, what came
#   out and what follows. Split the cell at the headings and put the code between them.
# tags: [markdown, start]
# cell: {type: markdown}
# placeholders:
#   question: {default: "Departures two hours ahead", description: what the notebook is about}
#   purpose: {default: "Ground crews need a number early enough to act on it.", description: who decides what by it}
#   yardstick: {default: "the mean of the same airport, weekday and hour", description: what must be beaten}
#   data: {default: "flights out of New York in 2013", description: which rows}
#   left_out: {default: "cancelled flights", description: which rows are left out}
# ---
# # __question__
#
# What was asked and what came out, in two sentences.
#
# ## Purpose
#
# __purpose__
#
# ## Background
#
# Today the answer is __yardstick__. What is already known, and what was tried before.
#
# ## Data set
#
# The rows are __data__, without __left_out__. Nothing in a row is younger than the moment of its prediction.
#
# ## Method
#
# Which model and why, how rows are split, which number decides.
#
# ## Result
#
# The number beside that of __yardstick__, on rows that nothing was chosen on.
#
# ## Discussion
#
# * Where it is wrong, and what that costs.
#
# ## Next action
#
# The one thing to do next, and who does it.
