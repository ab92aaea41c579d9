"""Cloud Function `deploy_model`: answers finalized objects and the reconciler; the work is in `rasen.deploy`."""

from functools import cache

import functions_framework
from cloudevents.http import CloudEvent

from rasen.deploy.doorbell import Doorbell, open_doorbell
from rasen.settings import load_settings


@cache
def _doorbell() -> Doorbell:
    return open_doorbell(load_settings())


@functions_framework.cloud_event
def deploy_model(event: CloudEvent) -> None:
    """Answer one event. Returning acknowledges it; raising makes the sender try again."""
    _doorbell().answer(event.get_attributes(), event.get_data())
