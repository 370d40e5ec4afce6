from django.apps import AppConfig


class LatheConfig(AppConfig):
    """The project itself is an app, so that its commands and checks are found."""

    name = "lathe"
    verbose_name = "Lathe"

    def ready(self) -> None:
        from lathe import checks, schema  # noqa: F401 (they register themselves)
