from django.apps import AppConfig


class OptimizationConfig(AppConfig):
    name = "apps.optimization"
    label = "optimization"
    verbose_name = "Optimization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """What the apps below do is written into the audit trail."""
        from apps.accounts import journal
        from apps.optimization import audit

        journal.connect(audit.record)
