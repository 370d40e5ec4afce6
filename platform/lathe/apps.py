from django.apps import AppConfig


class LatheConfig(AppConfig):
    """The project itself as an app, so that Django finds its commands and checks."""

    name = "lathe"
    verbose_name = "Lathe"

    def ready(self) -> None:
        from django.utils.translation import gettext

        from apps.errors import UserError
        from lathe import checks, schema  # noqa: F401 (they register themselves)

        UserError.translated = staticmethod(gettext)  # type: ignore[assignment, method-assign]
