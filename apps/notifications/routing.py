from django.urls import path

from apps.notifications.consumers import BellConsumer

websocket_urlpatterns = [path("ws/bell/", BellConsumer.as_asgi(), name="bell")]
