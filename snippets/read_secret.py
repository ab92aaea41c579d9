# ---
# title: Use a password or a key
# description: >-
#   A notebook states where a secret is kept, never the secret: in the parameters cell `api_key: rasen.Secret =
#   "secret://env/API_KEY"`. The value is masked in everything that a run shows. Use it where it is needed; do not
#   print it, save it or put it into a model.
# tags: [parameters, secrets]
# placeholders:
#   reference: {default: api_key, description: "parameter that holds the reference"}
#   headers: {default: headers, description: name of the headers for a request}
# ---
import rasen

if not __reference__.startswith("secret://"):
    raise ValueError(
        "__reference__ must be a reference such as secret://env/API_KEY, never the secret itself"
    )
__headers__ = {"Authorization": f"Bearer {rasen.secret(__reference__)}"}
