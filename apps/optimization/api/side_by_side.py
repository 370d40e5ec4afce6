"""The API for comparisons of what was measured, and for a model over its versions."""

from __future__ import annotations

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.accounts.requests import member
from apps.api import refuse_unknown, row_of
from apps.models.models import RegisteredModel
from apps.optimization.side_by_side.comparison import Comparison, SideBySide, as_csv, comparison
from apps.optimization.side_by_side.selection import PARAMETER
from apps.optimization.side_by_side.trends import Trend, trend_of
from apps.optimization.side_by_side.version_readings import row_id

DATASET = OpenApiParameter(
    "dataset", int, description="The data set whose measurements to read. Without it, the one with the most versions."
)
MODEL = OpenApiParameter("model", int, required=True, description="A model's id.")
ITEMS = [
    OpenApiParameter(
        PARAMETER,
        str,
        many=True,
        required=True,
        description="Two to six times: `session:ID`, `candidate:SESSION:KEY` or `version:ID`. Versions cannot be mixed "
        "with the others.",
    ),
    DATASET,
]


def _compared(request: Request) -> Comparison:
    refuse_unknown(request, (PARAMETER, "dataset"))
    given = request.query_params
    return comparison(given.getlist(PARAMETER), member(request), row_id(given.get("dataset")))


@extend_schema(tags=["sessions"])
class CompareView(APIView):
    """Sessions, candidates or versions side by side."""

    @extend_schema(summary="Compare what was measured", parameters=ITEMS, responses=SideBySide)
    def get(self, request: Request) -> Response:
        """Two to six sessions, candidates or versions with all quantities in which they may differ.

        Nothing is measured for it. `cautions` says why numbers may differ for another reason than the models.
        """
        return Response(_compared(request).value.model_dump(mode="json"))


@extend_schema(tags=["sessions"])
class CompareFileView(APIView):
    """The same as a file for spreadsheets."""

    @extend_schema(
        summary="Compare what was measured, as CSV", parameters=ITEMS, responses={(200, "text/csv"): OpenApiTypes.STR}
    )
    def get(self, request: Request) -> HttpResponse:
        """A line for each quantity, with value, low and high end of the interval for each item."""
        return HttpResponse(as_csv(_compared(request).value), content_type="text/csv; charset=utf-8")


@extend_schema(tags=["models"])
class TrendView(APIView):
    """A model over its versions."""

    @extend_schema(summary="Read the trend of a model", parameters=[MODEL, DATASET], responses=Trend)
    def get(self, request: Request) -> Response:
        """Metric, latency and size of each version, the oldest first, and which of them were promoted when.

        All measurements are from one data set; a version that was never measured on it has none.
        """
        refuse_unknown(request, ("model", "dataset"))
        given = request.query_params
        if (pk := row_id(given.get("model"))) is None:
            raise ValidationError({"model": "Name a model by its id."}, code="required")
        model = row_of(RegisteredModel.objects.visible_to(request.user), "model", pk)
        return Response(trend_of(model, row_id(given.get("dataset"))).model_dump(mode="json"))
