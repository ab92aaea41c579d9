"""Cloud Function `deploy_model`: answers finalized objects and the reconciler; the work is in `rasen.deploy`."""

import logging
from functools import cache

import functions_framework
from cloudevents.http import CloudEvent

from rasen.deploy.doorbell import Doorbell, open_doorbell
from rasen.settings import load_settings


@cache
def _doorbell() -> Doorbell:
    """Build what answers, once a process: with the first event, because importing this file does nothing."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    return open_doorbell(load_settings())


@functions_framework.cloud_event
def deploy_model(event: CloudEvent) -> None:
    """Answer one event. Returning acknowledges it; raising makes the sender try again."""
    _doorbell().answer(event.get_attributes(), event.get_data())
