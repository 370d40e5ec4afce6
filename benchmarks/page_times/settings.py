"""The project's own settings; each answer also says what it cost the server."""

from lathe.settings import *  # noqa: F403
from lathe.settings import MIDDLEWARE

MIDDLEWARE = ["benchmarks.page_times.server_timing.ServerTiming", *MIDDLEWARE]
