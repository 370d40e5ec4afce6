"""The routes of the sessions' API."""

from __future__ import annotations

from apps.optimization.api.comments import CommentViewSet
from apps.optimization.api.criteria import CriteriaViewSet
from apps.optimization.api.dismissing import DismissalViewSet
from apps.optimization.api.operation import AuditViewSet, TechniqueViewSet, WorkerViewSet
from apps.optimization.api.sessions import SessionViewSet
from apps.optimization.api.sharing import ReportLinkViewSet
from apps.optimization.api.templates import TemplateViewSet

routes = [
    ("criteria", CriteriaViewSet, "criteria"),
    ("sessions", SessionViewSet, "session"),
    ("comments", CommentViewSet, "comment"),
    ("dismissals", DismissalViewSet, "dismissal"),
    ("report-links", ReportLinkViewSet, "report-link"),
    ("session-templates", TemplateViewSet, "template"),
    ("techniques", TechniqueViewSet, "technique"),
    ("workers", WorkerViewSet, "worker"),
    ("audit", AuditViewSet, "audit"),
]
