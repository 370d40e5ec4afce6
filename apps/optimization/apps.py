from django.apps import AppConfig


class OptimizationConfig(AppConfig):
    name = "apps.optimization"
    label = "optimization"
    verbose_name = "Optimization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """What the apps below do is written into the audit trail, and the operators' limits hold there too."""
        from apps.accounts import journal
        from apps.models import limits
        from apps.optimization import audit
        from apps.optimization.models.operation import step_memory_limit_bytes

        journal.connect(audit.record)
        limits.connect(step_memory_limit_bytes)
