"""Strict filtering of lists: an unknown parameter or value is an error.

If a misspelt filter were ignored, the response would contain everything, and a program would rely on it. Therefore
each parameter of a list must be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.api import refuse_unknown
from apps.listings import Column, Listing, by_columns, with_keys_last


class Filters(DjangoFilterBackend):
    """django-filter's backend, which refuses wrong values. This one also refuses unknown parameters."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        if getattr(view, "action", "") == "list":
            filterset = self.get_filterset_class(view, queryset)
            refuse_unknown(request, {*_of_every_list(view), *(filterset.base_filters if filterset else ())})
        return super().filter_queryset(request, queryset, view)


def _of_every_list(view: Any) -> set[str]:
    pages = view.paginator
    return {Ordering.ordering_param, pages.page_query_param, pages.page_size_query_param}


class Ordering(OrderingFilter):
    """`?ordering=-created_at,name`; a field that the list cannot be ordered by is refused, not ignored."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        """Rows that are equal follow their keys, so that each of them is on one page."""
        asked = self.get_ordering(request, queryset, view)
        if not asked:
            return with_keys_last(queryset)
        known = _columns(view)
        return by_columns(queryset, [(known[name.removeprefix("-")], name.startswith("-")) for name in asked])

    def get_valid_fields(
        self, queryset: QuerySet[Any], view: APIView, context: Mapping[str, Any] | None = None
    ) -> list[tuple[str, str]]:
        return [(name, name) for name in _columns(view)]

    def remove_invalid_fields(
        self, queryset: QuerySet[Any], fields: Iterable[str], view: APIView, request: Request
    ) -> list[str]:
        known = [name for name, _ in self.get_valid_fields(queryset, view, {"request": request})]
        given = list(fields)
        for field in given:
            if field.removeprefix("-") not in known:
                sentence = f"The list cannot be ordered by “{field}”. Choose from {', '.join(known)}."
                raise ValidationError({self.ordering_param: [ErrorDetail(sentence, "invalid_choice")]})
        return given


def _columns(view: APIView) -> dict[str, Column]:
    """What the view allows (`ordering_fields`), and what the list's page can be ordered by (`listing`)."""
    fields = {name: Column(name, name, ordering=name) for name in getattr(view, "ordering_fields", ())}
    listing: Listing | None = getattr(view, "listing", None)
    return fields | (listing.orderings if listing else {})
