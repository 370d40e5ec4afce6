"""Errors to Sentry, or a service that speaks its protocol: only if the operator gives an address."""

from __future__ import annotations

from typing import Any

from apps.ids import present_ids


def start(dsn: str | None) -> None:
    """Reports errors of this process to `dsn`; without one, nothing is imported and nothing is sent.

    No bodies of requests, cookies, addresses and users are sent, and no local variables, which may be parts of models.
    """
    if dsn is None:
        return
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration

    sentry_sdk.init(
        dsn=dsn,
        # It would enable one for each library that it finds, and import it for that.
        auto_enabling_integrations=False,
        integrations=[DjangoIntegration()],
        send_default_pii=False,
        max_request_body_size="never",
        include_local_variables=False,
        traces_sample_rate=None,
        server_name="",
        before_send=_with_ids,
    )


def _with_ids(event: Any, hint: dict[str, Any]) -> Any:
    """The event with the ids of its context as tags, and without what only a browser's owner should know."""
    event.setdefault("tags", {}).update(present_ids())
    request = event.get("request", {})
    for private in ("cookies", "headers", "query_string", "env", "data"):
        request.pop(private, None)
    return event
