from django.urls import path

from apps.optimization.consumers import SessionConsumer

websocket_urlpatterns = [path("ws/sessions/<uuid:pk>/", SessionConsumer.as_asgi(), name="session")]
