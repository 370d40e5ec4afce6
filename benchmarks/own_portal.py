"""A portal of a benchmark's own, in a temporary folder: Redis, workers, and the services behind page and API.

Call `start_django` before anything of Django is imported.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetSpec
from apps.agents.contracts.state import Status

if TYPE_CHECKING:
    from apps.models.models import DataSet, ModelVersion
    from apps.optimization.models import OptimizationSession
    from lathe.processes import Supervisor

ROOT = Path(__file__).resolve().parents[1]
QUEUES = ("default", "checks", "cpu")
CHECKED_WITHIN_S = 600
LOOK_EVERY_S = 2.0
SEED = 0


def start_django(folder: Path) -> None:
    """The project's own settings over a folder of its own, whatever the environment says."""
    for name in [name for name in os.environ if name.startswith("LATHE_") or name.endswith("_URL")]:
        del os.environ[name]
    os.environ.update(LATHE_VAR_DIR=str(folder), DJANGO_SETTINGS_MODULE="lathe.settings", LATHE_LOG_LEVEL="WARNING")
    sys.path.insert(0, str(ROOT / "platform"))
    import django

    django.setup()


@contextmanager
def workers() -> Iterator[Supervisor]:
    """One worker for each queue, until the block ends."""
    from django.conf import settings

    from lathe import portal
    from lathe.processes import Supervisor

    environment = settings.LATHE
    with Supervisor() as supervisor:
        portal.prepare(supervisor, environment)
        for queue in QUEUES:
            supervisor.start(portal.worker(queue, environment.var_dir / "log"))
        yield supervisor


def upload(supervisor: Supervisor, model: Path, data: Path, spec: DatasetSpec) -> tuple[ModelVersion, DataSet]:
    """Both files with a team of their own, once workers have checked them. Exits if one is refused."""
    from django.core.files import File

    from apps.accounts.models import User
    from apps.accounts.services import create_team
    from apps.models.models import InspectionStatus
    from apps.models.services import add_dataset, add_version, register_model

    user = User.objects.create_user(f"{os.urandom(4).hex()}@lathe.localhost", os.urandom(16).hex())
    team = create_team(f"Benchmark of {user.email}", user)
    with model.open("rb") as file:
        version = add_version(register_model(team, user, "original"), user, file=File(file, model.name))
    with data.open("rb") as file:
        dataset = add_dataset(team, user, "pictures", spec, file=File(file, data.name), filename=data.name)

    def checked() -> bool:
        for row in (version, dataset):
            row.refresh_from_db()
            if row.status == InspectionStatus.REFUSED:
                raise SystemExit(f"{row} was refused: {row.refusal}")
        return bool(version.status == dataset.status == InspectionStatus.READY)

    supervisor.wait_until(checked, "The check of the files", timeout_s=CHECKED_WITHIN_S)
    return version, dataset


def start(version: ModelVersion, dataset: DataSet, criteria: Criteria) -> OptimizationSession:
    from apps.optimization.services import session_start

    user = version.model.team.memberships.get().user
    return session_start(user=user, version=version, dataset=dataset, criteria=criteria, seed=SEED)


def run_session(model: Path, data: Path, spec: DatasetSpec, criteria: Criteria) -> OptimizationSession:
    """A session from the uploads to its verdict, as it is told in a terminal meanwhile."""
    from lathe import terminal

    with workers() as supervisor:
        session, shown = start(*upload(supervisor, model, data, spec), criteria), ""
        while session.is_active:
            supervisor.wait(LOOK_EVERY_S)
            session.refresh_from_db()
            line = terminal.progress_line(session, width=160)
            if (change := line.split(",")[0].split(" · ")[-1]) != shown:
                shown = change
                print(f"  {time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
        print(terminal.report(session, width=160), flush=True)
    must_be_completed(session)
    return session


def must_be_completed(session: Any) -> None:
    if session.status != Status.COMPLETED:
        raise SystemExit(f"The session has {session.status}.\n{session.traceback}")
