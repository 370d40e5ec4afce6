from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OptimizationConfig(AppConfig):
    name = "apps.optimization"
    label = "optimization"
    verbose_name = _("Optimization")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connects what the apps below tell: rows that go, promotions that are approved, people whose pages close. From
        now on the app's lists are known.
        """
        from django.contrib.sessions.models import Session
        from django.db.models.signals import post_delete, post_save

        from apps.accounts.models import Membership, User
        from apps.audit import trail
        from apps.models import approvals, dependents, limits
        from apps.optimization import events, tallies
        from apps.optimization.models.operation import step_memory_limit_bytes
        from apps.optimization.services.promotion import follow_approval
        from apps.optimization.services.removal import SessionKeeper

        dependents.connect(SessionKeeper())
        approvals.connect(follow_approval)
        # Signals, because the admin and Django itself also end logins and memberships.
        for changed in (post_save, post_delete):
            changed.connect(events.tell_of_person, sender=User)
            changed.connect(events.tell_of_person, sender=Membership)
        post_delete.connect(events.tell_of_logout, sender=Session)
        limits.connect(step_memory_limit_bytes)
        trail.connect(tallies.hear)
        import_module("apps.optimization.columns")
