"""Models of sessions: criteria, steps, candidates, reports, log, audit, workers."""

from apps.audit.models import AuditEvent, AuditHead, AuditVerification
from apps.optimization.models.breaker import Breaker, BreakerKind
from apps.optimization.models.comments import LONGEST_COMMENT, SessionComment
from apps.optimization.models.criteria import CriteriaSet
from apps.optimization.models.defaults import DefaultCriteria
from apps.optimization.models.dismissal import Dismissal
from apps.optimization.models.experience import Experience, SessionFingerprint
from apps.optimization.models.findings import AnalysisReport, Candidate, EvaluationReport, KeptAnswers, LogEntry
from apps.optimization.models.operation import (
    LONGEST_STEP_MINUTES,
    MEASURING_QUEUES,
    PipelineSettings,
    Worker,
    WorkerCount,
)
from apps.optimization.models.retention import RetentionPolicy
from apps.optimization.models.session import OptimizationSession
from apps.optimization.models.sharing import ReportLink
from apps.optimization.models.step import SessionStep
from apps.optimization.models.template import SessionTemplate
from apps.optimization.models.trial import SearchTrial

__all__ = [
    "LONGEST_COMMENT",
    "LONGEST_STEP_MINUTES",
    "MEASURING_QUEUES",
    "AnalysisReport",
    "AuditEvent",
    "AuditHead",
    "AuditVerification",
    "Breaker",
    "BreakerKind",
    "Candidate",
    "CriteriaSet",
    "DefaultCriteria",
    "Dismissal",
    "EvaluationReport",
    "Experience",
    "KeptAnswers",
    "LogEntry",
    "OptimizationSession",
    "PipelineSettings",
    "ReportLink",
    "RetentionPolicy",
    "SearchTrial",
    "SessionComment",
    "SessionFingerprint",
    "SessionStep",
    "SessionTemplate",
    "Worker",
    "WorkerCount",
]
