"""How the API cuts long lists."""

from __future__ import annotations

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """`?page=2&page_size=100`: numbered pages of 50, or as many as asked for up to 200."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
