"""The code of the trail lies below the apps that enter events; its rows and who may read them stay where they were."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.urls import reverse

from apps.audit.models import AuditEvent, AuditHead

pytestmark = pytest.mark.django_db


def test_the_tables_keep_the_names_that_installations_have() -> None:
    assert AuditEvent._meta.db_table == "optimization_auditevent"
    assert AuditHead._meta.db_table == "optimization_audithead"
    assert {"optimization_auditevent", "optimization_audithead"} <= set(connection.introspection.table_names())


def test_permissions_and_pages_of_the_admin_keep_their_names() -> None:
    kind = ContentType.objects.get_for_model(AuditEvent)
    assert (kind.app_label, kind.model) == ("optimization", "auditevent")
    assert Permission.objects.filter(content_type=kind, codename="view_auditevent").exists()
    assert reverse("admin:optimization_auditevent_changelist")
