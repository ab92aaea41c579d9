# ---
# title: Log what an error costs
# description: >-
#   Money instead of squares: too much and too little rarely cost the same. The profile's cost stands beside the
#   model's. As a gate: `{kind: threshold, metric: cost, max: 400}` in pipeline.yaml.
# tags: [business, evaluation, metrics]
# placeholders:
#   held_out: {default: held_out, description: DataFrame with the held-out rows}
#   target: {default: departures, description: column with what really was}
#   predicted: {default: predicted, description: column with the model's prediction}
#   profile: {default: profile, description: column with the profile's prediction}
#   too_little: {default: 400.0, description: what one that was not foreseen costs}
#   too_much: {default: 60.0, description: what one that was foreseen in vain costs}
# ---
import rasen

if not (__too_little__ > 0 and __too_much__ > 0):
    raise ValueError("a cost is a positive number")


def mean_cost(forecast):
    """Return what planning by a forecast costs, on average of the rows."""
    short = (__held_out__["__target__"] - forecast).clip(lower=0)
    idle = (forecast - __held_out__["__target__"]).clip(lower=0)
    return (short * __too_little__ + idle * __too_much__).mean()


cost, profile_cost = mean_cost(__held_out__["__predicted__"]), mean_cost(__held_out__["__profile__"])
rasen.log_metrics(cost=cost, profile_cost=profile_cost)
print(
    f"{cost:,.0f} a row by the model, {profile_cost:,.0f} by the profile: {1 - cost / profile_cost:.0%} less"
)
