"""The templates of a model, for its page, which the store renders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from django import template
from django.db.models import QuerySet

from apps.models.models import ModelVersion, RegisteredModel
from apps.optimization.models import SessionTemplate

register = template.Library()


class Found(TypedDict):
    templates: QuerySet[SessionTemplate]
    version: ModelVersion | None
    """The newest version that is ready."""


@register.simple_tag
def templates_of(model: RegisteredModel, versions: Sequence[ModelVersion]) -> Found:
    rows = SessionTemplate.objects.filter(model=model).select_related("dataset", "criteria_set")
    ready = [version for version in versions if version.ready]
    return {"templates": rows, "version": max(ready, key=lambda one: one.number, default=None)}
