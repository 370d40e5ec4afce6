from django.apps import AppConfig


class OptimizationConfig(AppConfig):
    name = "apps.optimization"
    label = "optimization"
    verbose_name = "Optimization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """What the apps below do is written into the audit trail, and they learn what rests on their rows."""
        from apps.accounts import journal
        from apps.models import dependents
        from apps.optimization import audit
        from apps.optimization.services.removal import SessionKeeper

        journal.connect(audit.record)
        dependents.connect(SessionKeeper())
