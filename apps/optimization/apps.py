from django.apps import AppConfig


class OptimizationConfig(AppConfig):
    name = "apps.optimization"
    label = "optimization"
    verbose_name = "Optimization"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connects the hooks of the apps below: actions for the audit trail, deleted rows, and users whose pages must
        close.
        """
        from django.contrib.sessions.models import Session
        from django.db.models.signals import post_delete, post_save

        from apps.accounts import journal
        from apps.accounts.models import Membership, User
        from apps.models import dependents, limits
        from apps.optimization import audit, events
        from apps.optimization.models.operation import step_memory_limit_bytes
        from apps.optimization.services.removal import SessionKeeper

        journal.connect(audit.record)
        dependents.connect(SessionKeeper())
        # Signals, because the admin and Django itself also end logins and memberships.
        for changed in (post_save, post_delete):
            changed.connect(events.tell_of_person, sender=User)
            changed.connect(events.tell_of_person, sender=Membership)
        post_delete.connect(events.tell_of_logout, sender=Session)
        limits.connect(step_memory_limit_bytes)
