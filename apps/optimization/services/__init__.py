"""Services for sessions: the use cases behind pages, API and commands, so that one import is enough."""

from apps.optimization.services.alternatives import Alternatives, alternatives, candidate_file
from apps.optimization.services.answers import Picture, SessionAnswers, answered, example_picture, session_answers
from apps.optimization.services.bulk import SESSION_ACTS, TEMPLATE_ACTS
from apps.optimization.services.card import card_text
from apps.optimization.services.comments import comment_delete, comment_edit, comment_write, require_own_comment
from apps.optimization.services.comparing import session_compare
from apps.optimization.services.conflicts import CriteriaCheck, checked, checked_with_rows
from apps.optimization.services.continuing import check_continuable, continuation_checked, earlier_of, session_continue
from apps.optimization.services.dismissing import DISMISSIBLE, dismiss, not_dismissed
from apps.optimization.services.edits import AnalysedLayers, drafts_for, layers_of, parse_edits
from apps.optimization.services.foresight import use_of, what_is_decided
from apps.optimization.services.layers import SessionLayers, session_layers
from apps.optimization.services.lifecycle import session_cancel, session_resume, session_retry
from apps.optimization.services.matrices import SessionSpeed, matrices_of, session_measure, speed_grid
from apps.optimization.services.predictions import PlannerErrors, planner_errors
from apps.optimization.services.preview import (
    BrokenHere,
    SessionPreview,
    TechniqueStatus,
    session_preview,
    technique_statuses,
    techniques_broken,
)
from apps.optimization.services.promotion import promote, promotion_rollback
from apps.optimization.services.removal import session_delete
from apps.optimization.services.report import SessionReport, front_of_session, package_of, report
from apps.optimization.services.sharing import LINK_DAYS, links_are_on, opened_link, revoke_link, share_report
from apps.optimization.services.start import session_start, wanted_criteria
from apps.optimization.services.storage import Storage, keep_for, policy_with, storage_of
from apps.optimization.services.taking import decision_step, decisions_of, latest_packaging, session_take
from apps.optimization.services.templates import (
    default_template,
    newest_ready,
    template_change,
    template_delete,
    template_save,
    template_start,
)

__all__ = [
    "DISMISSIBLE",
    "LINK_DAYS",
    "SESSION_ACTS",
    "TEMPLATE_ACTS",
    "Alternatives",
    "AnalysedLayers",
    "BrokenHere",
    "CriteriaCheck",
    "Picture",
    "PlannerErrors",
    "SessionAnswers",
    "SessionLayers",
    "SessionPreview",
    "SessionReport",
    "SessionSpeed",
    "Storage",
    "TechniqueStatus",
    "alternatives",
    "answered",
    "candidate_file",
    "card_text",
    "check_continuable",
    "checked",
    "checked_with_rows",
    "comment_delete",
    "comment_edit",
    "comment_write",
    "continuation_checked",
    "decision_step",
    "decisions_of",
    "default_template",
    "dismiss",
    "drafts_for",
    "earlier_of",
    "example_picture",
    "front_of_session",
    "keep_for",
    "latest_packaging",
    "layers_of",
    "links_are_on",
    "matrices_of",
    "newest_ready",
    "not_dismissed",
    "opened_link",
    "package_of",
    "parse_edits",
    "planner_errors",
    "policy_with",
    "promote",
    "promotion_rollback",
    "report",
    "require_own_comment",
    "revoke_link",
    "session_answers",
    "session_cancel",
    "session_compare",
    "session_continue",
    "session_delete",
    "session_layers",
    "session_measure",
    "session_preview",
    "session_resume",
    "session_retry",
    "session_start",
    "session_take",
    "share_report",
    "speed_grid",
    "storage_of",
    "technique_statuses",
    "techniques_broken",
    "template_change",
    "template_delete",
    "template_save",
    "template_start",
    "use_of",
    "wanted_criteria",
    "what_is_decided",
]
