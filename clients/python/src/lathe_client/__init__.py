"""A client for Lathe's API: uploads, sessions, reports, and comparisons of versions for pipelines."""

from lathe_client.archive import Refused
from lathe_client.client import Lathe
from lathe_client.errors import LatheError, Problem
from lathe_client.gate import Limit, Result, run_gate
from lathe_client.verify import Verified, verify

__all__ = ["Lathe", "LatheError", "Limit", "Problem", "Refused", "Result", "Verified", "run_gate", "verify"]
