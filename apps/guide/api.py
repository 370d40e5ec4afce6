"""API of the search over everything."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.api import refuse_unknown
from apps.guide.finding import FoundKind, find


class Found(BaseModel):
    kinds: tuple[FoundKind, ...] = Field(description="What was found, by kind; kinds with nothing found are left out.")


@extend_schema(tags=["search"])
class FindView(APIView):
    """One search over pages, models, data sets, sessions, criteria and documentation."""

    @extend_schema(
        summary="Search everything",
        parameters=[
            OpenApiParameter("search", str, description="Words that must all occur. Without them, pages are listed.")
        ],
        responses=Found,
    )
    def get(self, request: Request) -> Response:
        """Up to six findings of each kind. Addresses are paths of the portal's pages."""
        refuse_unknown(request, ("search",))
        found = Found(kinds=tuple(find(member(request), request.query_params.get("search", ""))))
        return Response(found.model_dump(mode="json"))
