"""The verification of the whole audit trail, with its result kept for pages."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

from django.utils import timezone

from apps.audit import trail
from apps.audit.models import AuditHead, AuditVerification

logger = logging.getLogger(__name__)

FRESH_FOR = timedelta(days=1)
"""How old a result may get before workers verify again."""


def verified() -> AuditVerification:
    """Verifies the chain now and keeps the result. A broken chain is an error in the log, too."""
    began = time.monotonic()
    broken = trail.verify()
    head = AuditHead.objects.filter(pk=1).first() or AuditHead()
    found = AuditVerification(
        pk=1,
        at=timezone.now(),
        events=head.sequence,
        took_s=time.monotonic() - began,
        broken_at=broken.sequence if broken else None,
        reason=broken.reason[:200] if broken else "",
    )
    found.save()
    if broken:
        logger.error("%s", found.sentence)
    return found


def last() -> AuditVerification | None:
    """The last result; `None` before the first verification."""
    return AuditVerification.objects.filter(pk=1).first()


def keep_fresh() -> None:
    """Verifies again if the last result is older than a day."""
    found = last()
    if found is None or timezone.now() - found.at >= FRESH_FOR:
        verified()
