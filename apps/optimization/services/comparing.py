"""Starts a comparison: a session that judges one version of a model against another and optimizes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from apps.accounts.models import Role, User
from apps.accounts.services import require_role
from apps.agents.contracts.criteria import Constraints, Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.loss_limits import for_task
from apps.agents.techniques.interface import interface_difference
from apps.models.models import DataSet, ModelVersion
from apps.optimization.default_criteria import named_or_default
from apps.optimization.errors.starting import ComparedInterfaceDiffers, NothingToProve, TeamsDiffer, VersionNotReady
from apps.optimization.models import CriteriaSet, OptimizationSession
from apps.optimization.services.start import MAX_SEED, begin, check, wanted_criteria
from apps.optimization.services.students import why_not_ready

NO_LIMITS = frozenset({"default_rise", "max_output_deviation"})
"""What every criteria hold unless told otherwise. It applies to some models only, so nobody asked for it."""


def session_compare(
    *,
    user: User,
    version: ModelVersion,
    compared: ModelVersion,
    dataset: DataSet,
    criteria_set: CriteriaSet | None = None,
    criteria: Criteria | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    seed: int | None = None,
    retry_of: OptimizationSession | None = None,
    as_operator: bool = False,
) -> OptimizationSession:
    """Starts to measure `compared` against `version` on the test part of `dataset`. Both may be the same.

    The criteria are those of `session_start`; only their limits, target, confidence, counted size and time matter.
    Raises `PermissionDenied` below engineer, the errors of `check`, `NothingToProve` for criteria without a limit,
    `ComparedInterfaceDiffers`, `QueueAway`.
    """
    if not (as_operator and user.is_staff):
        require_role(user, version.model.team, Role.ENGINEER)
    criteria_set = named_or_default(criteria_set, criteria, user, version.model.team)
    given = wanted_criteria(criteria_set, criteria, overrides)
    wanted = given.model_copy(update={"allowed_techniques": None, "required_techniques": ()})
    check(version, dataset, wanted, criteria_set)
    _check_compared(compared, version)
    wanted = for_task(wanted, DatasetSpec.model_validate(dataset.spec))
    if not _limits(wanted.constraints):
        raise NothingToProve(field="criteria.constraints")
    session = OptimizationSession(
        team=version.model.team,
        version=version,
        compared=compared,
        dataset=dataset,
        criteria_set=criteria_set,
        criteria_body=wanted.model_dump(mode="json"),
        seed=secrets.randbelow(MAX_SEED) if seed is None else seed,
        retry_of=retry_of,
        created_by=user,
    )
    return begin(session, user)


def _check_compared(compared: ModelVersion, version: ModelVersion) -> None:
    if compared.model.team_id != version.model.team_id:
        raise TeamsDiffer(field="compared", what="compared version", name=compared, team=version.model.team)
    if not compared.ready:
        raise VersionNotReady(field="compared", version=compared, state=why_not_ready(compared))
    wanted, given = version.metadata.summary, compared.metadata.summary
    if difference := interface_difference(wanted, given, may_fix_batch=True):
        raise ComparedInterfaceDiffers(field="compared", compared=compared, version=version, difference=difference)


def _limits(constraints: Constraints) -> bool:
    """Whether one of them limits anything that a member has asked for."""
    set_ones = {name: value for name, value in constraints if value is not None and value != {}}
    return not set_ones.keys() <= NO_LIMITS
