"""The identity provider of the environment, in the words of allauth's settings."""

from __future__ import annotations

from typing import Any

from lathe.env import SingleSignOn


def providers(given: SingleSignOn | None) -> dict[str, Any]:
    """`SOCIALACCOUNT_PROVIDERS`; empty without a provider."""
    if given is None:
        return {}
    app = {
        "provider_id": given.key,
        "name": given.name,
        "client_id": given.client_id,
        "secret": given.client_secret,
        "settings": {"server_url": given.issuer},
    }
    return {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
