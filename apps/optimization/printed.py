"""A report for paper as a download."""

from __future__ import annotations

import hashlib

from django.http import HttpResponse
from django.utils.http import content_disposition_header

from apps.optimization.services.printing import pdf_name, report_pdf
from apps.optimization.services.report import SessionReport

PDF = "application/pdf"


def pdf_response(report: SessionReport, address: str | None = None, content_type: str = PDF) -> HttpResponse:
    """The report as a PDF, with a link to its page at `address`. `ETag` is its SHA-256. Raises `NotPrinted`."""
    made = report_pdf(report, address)
    response = HttpResponse(made, content_type=content_type)
    response["Content-Length"] = str(len(made))
    response["ETag"] = f'"{hashlib.sha256(made).hexdigest()}"'
    response["Content-Disposition"] = content_disposition_header(True, pdf_name(report)) or "attachment"
    response["Cache-Control"] = "private, no-cache"
    return response
