"""Pagination of the API's lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.pages import KeyedPaginator


class Pages(PageNumberPagination):
    """`?page=2&page_size=100`: numbered pages with 50 rows by default and at most 200.

    A missing page is not found (404). A value that is not a number, and a page that would be larger than allowed, is
    refused (400), because treating it as the first page or another size would hide the client's mistake.
    """

    django_paginator_class = KeyedPaginator
    page_size = 50
    page_size_query_param = "page_size"
    page_size_query_description = "Rows per page: 50 by default, at most 200."
    max_page_size = 200

    def paginate_queryset(
        self, queryset: QuerySet[Any] | Sequence[Any], request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        for name in (self.page_query_param, self.page_size_query_param):
            given = request.query_params.get(name)
            if given is not None and not (given.isdecimal() and 0 < len(given.lstrip("0")) < 10):
                raise ValidationError({name: [ErrorDetail("This is not a whole number of 1 or more.", "invalid")]})
        size = request.query_params.get(self.page_size_query_param)
        if size is not None and int(size) > self.max_page_size:
            sentence = f"A page has {self.max_page_size} rows at most (given: {size}). Follow `next` for more."
            raise ValidationError({self.page_size_query_param: [ErrorDetail(sentence, "max_value")]})
        return super().paginate_queryset(queryset, request, view)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """DRF's schema, converted to OpenAPI 3.1."""
        described = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            link = described["properties"][name]
            described["properties"][name] = {"type": ["string", "null"], "format": "uri", "example": link["example"]}
        described["required"] = ["count", "next", "previous", "results"]
        return described
