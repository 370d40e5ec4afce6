from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ModelsConfig(AppConfig):
    name = "apps.models"
    label = "models"
    verbose_name = _("Model store")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """From now on the app's lists are known."""
        import_module("apps.models.columns")
