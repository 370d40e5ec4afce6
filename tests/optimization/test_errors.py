"""The codes that clients rely on, with their HTTP status: a change here breaks somebody's automation."""

from __future__ import annotations

import pytest

from apps.errors import UserError
from apps.optimization import errors
from apps.optimization.errors.running import SessionErrored, StepErrored, WorkerLost

pytestmark = pytest.mark.portable

CODES = {
    "comment.of_another": 403,
    "compare.item_unknown": 404,
    "compare.kinds_differ": 422,
    "compare.teams_differ": 422,
    "compare.too_few": 422,
    "compare.too_many": 422,
    "criteria.built_in": 403,
    "criteria.contradictory": 422,
    "criteria.default_of_another_team": 422,
    "criteria.invalid": 422,
    "criteria.missing": 422,
    "criteria.name_taken": 409,
    "criteria.outdated": 409,
    "criteria.unknown_resolution": 422,
    "demo.refused": 422,
    "report.link_revoked": 409,
    "report.link_unusable": 404,
    "report.links_off": 403,
    "report.not_printed": 503,
    "session.accelerator_unavailable": 422,
    "session.candidate_file_gone": 410,
    "session.candidate_not_takable": 409,
    "session.candidate_unknown": 422,
    "session.compared_interface_differs": 422,
    "session.continued_elsewhere": 409,
    "session.continued_otherwise": 409,
    "session.continued_unchanged": 409,
    "session.contradictory": 409,
    "session.dataset_not_ready": 409,
    "session.decision_unknown": 404,
    "session.deleted": 410,
    "session.errored": 422,
    "session.move_refused": 409,
    "session.no_card": 404,
    "session.no_layers": 404,
    "session.no_package": 404,
    "session.no_picture": 404,
    "session.no_predictions": 404,
    "session.no_recipe": 404,
    "session.no_report": 404,
    "session.not_promoted": 409,
    "session.nothing_to_continue": 409,
    "session.nothing_to_promote": 409,
    "session.nothing_to_prove": 422,
    "session.nothing_to_try": 409,
    "session.plan_edits_invalid": 422,
    "session.provider_unavailable": 422,
    "session.size_uncounted": 422,
    "session.speed_grid_invalid": 422,
    "session.speed_not_measurable": 409,
    "session.student_format_differs": 422,
    "session.student_interface_differs": 422,
    "session.student_is_original": 422,
    "session.student_not_taught": 422,
    "session.teams_differ": 422,
    "session.technique_disabled": 422,
    "session.technique_paused": 422,
    "session.technique_unavailable": 422,
    "session.too_old_to_continue": 409,
    "session.version_not_ready": 409,
    "step.errored": 422,
    "step.infrastructure_failed": 422,
    "step.worker_lost": 422,
    "template.elsewhere": 422,
    "template.incomplete": 409,
    "template.name_missing": 422,
    "template.name_taken": 409,
    "template.no_version_ready": 409,
    "template.of_comparison": 422,
}


def test_codes_and_statuses_are_stable() -> None:
    ours = [error for error in UserError.catalogue() if error.__module__.startswith(f"{errors.__name__}.")]
    assert {error.code: error.status for error in ours} == CODES


@pytest.mark.parametrize("error", [WorkerLost(attempts=3), StepErrored(), SessionErrored()])
def test_a_member_reads_a_whole_sentence(error: UserError) -> None:
    assert error.message[0].isupper()
    assert error.message.endswith(".")
    assert "{" not in error.message
