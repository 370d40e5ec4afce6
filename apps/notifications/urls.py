from django.urls import path

from apps.notifications.views import bell, channels, deliveries, mail

app_name = "notifications"

urlpatterns = [
    path("notifications/", bell.listing, name="list"),
    path("notifications/read/", bell.read, name="read"),
    path("notifications/<int:pk>/", bell.follow, name="follow"),
    path("notifications/settings/", channels.own, name="settings"),
    path("notifications/channels/new/", channels.new, name="new"),
    path("notifications/channels/<int:pk>/", channels.detail, name="channel"),
    path("notifications/channels/<int:pk>/change/", channels.change, name="channel-change"),
    path("notifications/channels/<int:pk>/remove/", channels.delete, name="channel-remove"),
    path("notifications/channels/<int:pk>/secret/", channels.rotate, name="channel-rotate"),
    path("notifications/channels/<int:pk>/test/", channels.test, name="channel-test"),
    path("notifications/deliveries/", deliveries.listing, name="deliveries"),
    path("notifications/deliveries/bulk/", deliveries.bulk, name="delivery-bulk"),
    path("notifications/deliveries/<int:pk>/replay/", deliveries.replay, name="delivery-replay"),
    path("notifications/unsubscribe/<str:token>/", mail.unsubscribe, name="unsubscribe"),
]
