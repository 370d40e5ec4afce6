"""The log: plain text on a terminal, one JSON object per line everywhere else, or as the operator says."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from apps.ids import bind_ids, clear_ids, new_request_id
from lathe.middleware import Around

HEADER = "X-Request-ID"


def configuration(level: str, form: str) -> dict[str, Any]:
    """Python's `LOGGING`. `form` is `text`, `json` or `auto`, which asks whether standard error is a terminal."""
    as_json = form == "json" or (form == "auto" and not sys.stderr.isatty())
    own: dict[str, Any] = {"handlers": ["console"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"},
            "json": {"()": json_lines},
        },
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "json" if as_json else "text"},
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {**own, "level": level},
            "django.server": {**own, "level": "WARNING"},
            "urllib3": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            # uvicorn configures its own before it loads Lathe.
            **({name: {**own, "level": "WARNING"} for name in ("uvicorn", "uvicorn.error")} if as_json else {}),
        },
    }


def json_lines() -> structlog.stdlib.ProcessorFormatter:
    """A formatter that writes each record as JSON, with the ids of its context (`apps.ids`) and its traceback."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
    )


class RequestIds(Around):
    """Middleware: gives each request an id, which its log lines carry, and its answer as the header `X-Request-ID`.

    An id that the client sends is not used: what is in the log must not be up to strangers. The ids stay bound until
    the next request, because Django logs an answer such as 404 after the last middleware.
    """

    def before(self, request: HttpRequest) -> str:
        clear_ids()
        request_id = new_request_id()
        bind_ids(request=request_id)
        return request_id

    def after(self, request: HttpRequest, response: HttpResponseBase, begun: str) -> HttpResponseBase:
        response.headers[HEADER] = begun
        return response
