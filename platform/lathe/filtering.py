"""Strict filtering of lists: an unknown parameter or value is an error.

If a misspelt filter were ignored, the response would contain everything, and a program would rely on it. Therefore
each parameter of a list must be known.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.api import refuse_unknown


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
