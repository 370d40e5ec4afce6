from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    name = "apps.notifications"
    label = "notifications"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """From now on each audit event passes through the funnel, and the app's lists are known."""
        from apps.audit import trail
        from apps.notifications import funnel

        trail.connect(funnel.take)
        import_module("apps.notifications.columns")
