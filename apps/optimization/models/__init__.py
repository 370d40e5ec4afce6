"""Models of sessions: criteria, steps, candidates, reports, log, audit, workers."""

from apps.audit.models import AuditEvent, AuditHead
from apps.optimization.models.breaker import Breaker, BreakerKind
from apps.optimization.models.criteria import CriteriaSet
from apps.optimization.models.defaults import DefaultCriteria
from apps.optimization.models.experience import Experience, SessionFingerprint
from apps.optimization.models.findings import AnalysisReport, Candidate, EvaluationReport, LogEntry
from apps.optimization.models.operation import LONGEST_STEP_MINUTES, MEASURING_QUEUES, PipelineSettings, Worker
from apps.optimization.models.retention import RetentionPolicy
from apps.optimization.models.session import OptimizationSession
from apps.optimization.models.step import SessionStep

__all__ = [
    "LONGEST_STEP_MINUTES",
    "MEASURING_QUEUES",
    "AnalysisReport",
    "AuditEvent",
    "AuditHead",
    "Breaker",
    "BreakerKind",
    "Candidate",
    "CriteriaSet",
    "DefaultCriteria",
    "EvaluationReport",
    "Experience",
    "LogEntry",
    "OptimizationSession",
    "PipelineSettings",
    "RetentionPolicy",
    "SessionFingerprint",
    "SessionStep",
    "Worker",
]
