# ---
# title: Make random choices repeatable
# description: >-
#   A run that is repeated on the same rows must give the same model. Draw from `rng`, and give `random_state=seed` to
#   whatever takes one: the global seeds are only for libraries that ask nobody. Sort rows before you draw, because a
#   query without ORDER BY has no order.
# tags: [start, training]
# placeholders:
#   seed: {default: seed, description: "parameter: a whole number"}
# ---
import random

import numpy as np

if isinstance(__seed__, bool) or not isinstance(__seed__, int) or not 0 <= __seed__ < 2**32:
    raise ValueError(f"__seed__ must be a whole number from 0 to 4294967295, not {__seed__!r}")
random.seed(__seed__)
np.random.seed(__seed__)
rng = np.random.default_rng(__seed__)
