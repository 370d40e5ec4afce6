"""The tests' settings for workers of their own process: a real broker, the test's own database, short leases."""

import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, DRAMATIQ_MIDDLEWARE

DATABASES["default"]["NAME"] = os.environ["LATHE_TEST_DATABASE_NAME"]
DRAMATIQ_BROKER = {
    "BROKER": "lathe.broker.Broker",
    "OPTIONS": {"url": os.environ["LATHE_TEST_BROKER_URL"], "namespace": "lathe.recovery"},
    "MIDDLEWARE": DRAMATIQ_MIDDLEWARE,
}
PIPELINE_TIMING = {"lease_s": 1.5, "heartbeat_s": 0.3, "sweep_s": 0.3, "backoff_s": 0.1, "cancel_check_s": 0.1}
