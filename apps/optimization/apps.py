from django.apps import AppConfig


class OptimizationConfig(AppConfig):
    name = "apps.optimization"
    label = "optimization"
    verbose_name = "Optimization"
    default_auto_field = "django.db.models.BigAutoField"
