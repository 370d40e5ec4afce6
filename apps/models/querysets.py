"""Visibility and queries of the store's rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, cast

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.visibility import Row, TeamOwnedQuerySet

if TYPE_CHECKING:
    from apps.accounts.models import Team


def told_of(words: str) -> Q:
    """Rows whose name or description contains all of `words`."""
    condition = Q()
    for word in words.replace("\x00", " ").split():  # PostgreSQL cannot compare with a NUL
        condition &= Q(name__icontains=word) | Q(description__icontains=word)
    return condition


class BlobQuerySet(models.QuerySet[Row]):
    def unreferenced(self) -> Self:
        """Blobs that no row of any app refers to."""
        blobs = self
        for relation in self.model._meta.related_objects:
            users = relation.related_model._default_manager.filter(**{relation.field.name: OuterRef("pk")})
            blobs = blobs.filter(~Exists(users))
        return blobs

    def of_team(self, team: Team) -> Self:
        """Blobs that any row of `team` refers to, in any app, without duplicates."""
        used = Q()
        for relation in self.model._meta.related_objects:
            rows = cast("TeamOwnedQuerySet[models.Model]", relation.related_model._default_manager.all())
            used |= Q(Exists(rows.filter(**{rows.team_path: team, relation.field.name: OuterRef("pk")})))
        return self.filter(used)


class InspectedQuerySet(TeamOwnedQuerySet[Row]):
    """Files that are checked after they arrive."""

    def ready(self) -> Self:
        return self.filter(status="ready")

    def pending(self) -> Self:
        return self.filter(status="pending")

    def checkable(self) -> Self:
        """Pending, past their backoff, and not being checked by a live worker."""
        free = Q(check_claim=None) | Q(check_expires_at__lt=Now())
        return self.pending().filter(free, Q(check_not_before=None) | Q(check_not_before__lte=Now()))

    def being_checked(self) -> Self:
        """Claimed by a worker that renews its lease."""
        return self.pending().filter(check_expires_at__gte=Now())

    def abandoned(self) -> Self:
        """Claimed by a worker that no longer renews its lease."""
        return self.pending().filter(check_expires_at__lt=Now())


class UploadQuerySet(TeamOwnedQuerySet[Row]):
    def expired(self) -> Self:
        return self.filter(expires_at__lte=timezone.now())


class RegisteredModelQuerySet(TeamOwnedQuerySet[Row]):
    def search(self, words: str) -> Self:
        """Models whose name or description contains all of `words`."""
        return self.filter(told_of(words))

    def tagged(self, tag: str) -> Self:
        """Models with `tag`. Compared in Python, because SQLite cannot search a JSON list and a team's
        list is short.
        """
        having = [pk for pk, tags in self.exclude(tags=[]).values_list("pk", "tags") if tag in tags]
        return self.filter(pk__in=having)

    def all_tags(self) -> list[str]:
        """Every tag in use, in alphabetical order."""
        return sorted({tag for tags in self.exclude(tags=[]).values_list("tags", flat=True) for tag in tags})


class ModelVersionQuerySet(InspectedQuerySet[Row]):
    team_path = "model__team"


class ModelMetadataQuerySet(models.QuerySet[Row]):
    def in_short(self) -> Self:
        """Without the long fields that only a version's own page shows: its tensors and its code."""
        return self.defer("details")


class AliasQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "model__team"


class AliasRequestQuerySet(TeamOwnedQuerySet[Row]):
    team_path = "alias__model__team"

    def pending(self) -> Self:
        """Those that nobody has decided yet."""
        return self.filter(status="pending")

    def search(self, words: str) -> Self:
        """Requests whose model or alias has all of `words` in its name."""
        condition = Q()
        for word in words.replace("\x00", " ").split():
            condition &= Q(alias__model__name__icontains=word) | Q(alias__name__icontains=word)
        return self.filter(condition)


class DataSetQuerySet(InspectedQuerySet[Row]):
    def search(self, words: str) -> Self:
        """Data sets whose name or description contains all of `words`."""
        return self.filter(told_of(words))
