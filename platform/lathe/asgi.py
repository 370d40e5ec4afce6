"""The ASGI entry point: HTTP goes to Django, WebSockets go to the consumers."""

from __future__ import annotations

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application

from lathe import multiprocess

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lathe.settings")

# Before anything imports prometheus_client, which looks for the shared folder at its import.
multiprocess.share(settings.LATHE.var_dir)

# First, because consumers import models, and models need the apps to be loaded.
http = get_asgi_application()

from apps.agents.sandbox.walls.privileges import hide  # noqa: E402
from apps.notifications.routing import websocket_urlpatterns as bell_urlpatterns  # noqa: E402
from apps.optimization.routing import websocket_urlpatterns as session_urlpatterns  # noqa: E402
from lathe import garbage  # noqa: E402
from lathe.traffic import CountSockets  # noqa: E402

websocket_urlpatterns = [*bell_urlpatterns, *session_urlpatterns]
for pattern in websocket_urlpatterns:
    pattern.callback = CountSockets(pattern.callback, pattern.name)

hide()

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)

garbage.settle_web()
