"""The product's settings over real services, with shorter leases and waits, so that recovery can be waited for."""

from lathe.settings import *  # noqa: F403

PIPELINE_TIMING = {
    "lease_s": 4.0,
    "heartbeat_s": 0.4,
    "sweep_s": 0.5,
    "backoff_s": 0.2,
    "cancel_check_s": 0.1,
    "message_lost_s": 5.0,
}
"""About a tenth of the product's own (`apps.models.timing`)."""
