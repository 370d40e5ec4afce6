"""What is counted of uploads and their checks."""

from __future__ import annotations

from apps.monitoring.tallies import Family

UPLOADS = Family(
    "lathe_uploads",
    "Files that arrived completely, in chunks or in one request.",
    {"way": ("chunks", "request")},
    sums="lathe_uploaded_bytes",
    sums_help="Bytes of the files that arrived completely.",
)
CHECKS = Family(
    "lathe_checks",
    "Models and data sets that were checked.",
    {"kind": ("model", "dataset"), "result": ("ready", "refused")},
)
CHECK_LEASES_LOST = Family(
    "lathe_check_leases_lost",
    "Checks whose worker fell silent until their lease expired.",
    {"kind": ("model", "dataset")},
)
