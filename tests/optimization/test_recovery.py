"""kill -9 in every phase, of real workers and real children, over a real broker: the verdict stays the same."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
import redis
from django.conf import settings
from django.db import connection
from dramatiq.brokers.redis import RedisBroker

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.state import Outcome, Status, StepKind
from apps.audit import trail
from apps.models.actors import inspect_version
from apps.models.models import DataSet, InspectionStatus, ModelMetadata, ModelVersion
from apps.models.storage import open_blob, put_file
from apps.optimization import scratch, services
from apps.optimization.actors import advance
from apps.optimization.models import OptimizationSession, SessionStep, Worker
from lathe.processes import Child, python, stop
from lathe.redis import embedded
from tests.optimization import crank, handlers, material
from tests.optimization.trainable import EXAMPLES, examples_npz, network_zip
from tests.waiting import HANGS_S, wait_until, wait_until_gone

PHASES = tuple(
    kind for kind in StepKind if kind not in (StepKind.REFINE, StepKind.MATRIX, StepKind.SUPERNET, StepKind.TRIALS)
)
"""The kinds of step of a session with one candidate, around which nothing is refined."""
pytestmark = [
    pytest.mark.recovery,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("stored"),
]


def until(ready: Callable[[], object], what: str, within_s: float = HANGS_S) -> None:
    wait_until(ready, what, within_s, standing=_standing)


def _standing() -> str:
    """What the rows say, for the message of a test that failed."""
    steps = [
        f"{step.key} {step.status} {step.attempt} {step.message} {step.error}" for step in SessionStep.objects.all()
    ]
    sessions = [f"{one.status} {one.phase} {one.error}" for one in OptimizationSession.objects.all()]
    workers = [f"{worker.name} {worker.queues} {worker.is_alive}" for worker in Worker.objects.all()]
    return "; ".join([*sessions, *steps, *workers])


@pytest.fixture
def broker_url(tmp_path: Path) -> Iterator[str]:
    """A Redis of the test's own."""
    socket = tmp_path / "redis.sock"
    server = embedded(socket, tmp_path, tmp_path / "redis.log")
    server.start()
    client = redis.Redis(unix_socket_path=str(socket))
    until(lambda: socket.exists() and client.ping(), "Redis")
    yield f"unix://{socket}"
    client.close()
    stop(server)


@pytest.fixture
def gates() -> Iterator[Path]:
    """The folder in which a file named after a kind of step makes its handler wait."""
    folder = Path(settings.LATHE.var_dir) / handlers.GATES
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


class Workshop:
    """Worker processes as the portal starts them, that can be killed and started again."""

    def __init__(self, broker_url: str, log: Path, environment: Mapping[str, str]) -> None:
        self.environment = {
            "DJANGO_SETTINGS_MODULE": "tests.optimization.recovery_settings",
            "LATHE_TEST_DATABASE_NAME": str(connection.settings_dict["NAME"]),
            "LATHE_TEST_BROKER_URL": broker_url,
            **environment,
        }
        self.log = log
        self.children: dict[str, Child] = {}

    def open(self, queue: str) -> None:
        command = ("-m", "dramatiq", "--processes", "1", "--threads", "2" if queue == "default" else "1")
        modules = ("django_dramatiq.setup", "tests.optimization.recovery_actors")
        child = Child(
            f"worker-{queue}",
            python(*command, "--queues", queue, "--skip-logging", *modules),
            self.environment,
            self.log / f"{queue}.log",
        )
        child.start()
        self.children[queue] = child

    def kill(self, queue: str, pid: int) -> None:
        """kill -9 of the process that works, and of its master, which would notice."""
        os.kill(pid, signal.SIGKILL)
        self.children[queue].signal(signal.SIGKILL)
        stop(self.children.pop(queue))

    def close(self) -> None:
        for child in self.children.values():
            stop(child, grace_s=2)


@pytest.fixture
def environment() -> dict[str, str]:
    """What the workers find in their environment beside the usual."""
    return {}


@pytest.fixture
def workshop(broker_url: str, gates: Path, tmp_path: Path, environment: dict[str, str]) -> Iterator[Workshop]:
    workshop = Workshop(broker_url, tmp_path, environment)
    for queue in ("default", "cpu"):
        workshop.open(queue)
    yield workshop
    workshop.close()


def begin(session: OptimizationSession, broker_url: str) -> None:
    """Sends the first message to the real broker; the one to the tests' own broker is dropped."""
    list(crank.messages())
    broker = RedisBroker(url=broker_url, namespace="lathe.recovery")
    broker.enqueue(advance.message(str(session.pk)))
    broker.close()


def ended(session: OptimizationSession) -> OptimizationSession:
    def over() -> bool:
        session.refresh_from_db()
        return not session.is_active

    until(over, "the end of the session")
    return session


def at_the_gate(kind: str) -> int:
    """The process id of the child that waits in this phase."""
    found: list[int] = []

    def somebody() -> bool:
        found[:] = filter(None, [handlers.waiting_at(kind, scratch.root())])
        return bool(found)

    until(somebody, f"a child at {kind}")
    return found[0]


def open_gate(gates: Path, kind: str) -> None:
    (gates / kind).unlink()


def assert_the_usual_verdict(session: OptimizationSession) -> None:
    steps = {step.key: step.error for step in session.steps.exclude(status=Status.COMPLETED)}
    assert (session.status, session.outcome, session.error, steps) == (Status.COMPLETED, Outcome.IMPROVED, "", {})
    assert services.report(session).verdict.candidate == "c01"
    assert trail.verify() is None
    until(lambda: not any(scratch.root().iterdir()), "an empty scratch folder", 5)


def test_a_child_is_killed_in_every_phase(
    session: OptimizationSession, workshop: Workshop, broker_url: str, gates: Path
) -> None:
    for kind in PHASES:
        (gates / kind.value).touch()
    begin(session, broker_url)
    for kind in PHASES:
        os.kill(at_the_gate(kind), signal.SIGKILL)
        open_gate(gates, kind)
    assert_the_usual_verdict(ended(session))
    tries = dict(session.steps.values_list("kind", "attempt").order_by("-attempt"))
    assert session.steps.filter(attempt=2).count() == len(PHASES), tries


def test_the_worker_is_killed_in_every_phase(
    session: OptimizationSession, workshop: Workshop, broker_url: str, gates: Path
) -> None:
    for kind in PHASES:
        (gates / kind.value).touch()
    begin(session, broker_url)
    for kind in PHASES:
        child = psutil.Process(at_the_gate(kind))
        worker = SessionStep.objects.get(status=Status.RUNNING).worker
        workshop.kill("cpu", int(worker.rpartition(":")[2]))
        wait_until_gone(child.pid)  # A child whose worker died ends by itself.
        open_gate(gates, kind)
        workshop.open("cpu")
    assert_the_usual_verdict(ended(session))
    assert session.steps.filter(attempt=2).count() == len(PHASES)
    assert session.log.filter(message__contains="fell silent").count() == len(PHASES)


RECOVERY = {
    "LATHE_TEST_ANALYSE": "tests.optimization.handlers:analyse_for_a_recovery",
    "LATHE_TEST_PLAN": "tests.optimization.handlers:plan_a_recovery",
    "LATHE_TEST_OPTIMIZE": "tests.optimization.handlers:recover",
}


@pytest.fixture
def trainable(stored: None, version: ModelVersion, dataset: DataSet, tmp_path: Path) -> None:
    """Puts a small convolutional network and its training part behind the version and the data set."""
    for row, file in ((version, network_zip(tmp_path)), (dataset, examples_npz(tmp_path))):
        row.blob, row.filename = put_file(file), file.name
        row.save(update_fields=["blob", "filename"])
    ModelMetadata.objects.filter(version=version).delete()
    ModelMetadata.record(version, material.STATE_DICT)
    dataset.spec["training_share"] = 0.5
    dataset.summary |= {"examples": EXAMPLES, "training_examples": EXAMPLES // 2}
    dataset.save(update_fields=["spec", "summary"])


def trained(session: OptimizationSession, engineer: User) -> SessionStep:
    """The session's training once it has ended; nothing that follows it is needed."""
    step = session.steps.filter(key="c01/optimize")
    until(lambda: step.filter(status=Status.COMPLETED).exists(), "the end of the training")
    found = step.get()
    services.session_cancel(session, engineer)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("trainable")
@pytest.mark.parametrize("environment", [RECOVERY])
@pytest.mark.nightly
def test_a_training_whose_worker_is_killed_ends_with_the_bytes_of_an_undisturbed_one(
    start: Callable[..., OptimizationSession], workshop: Workshop, broker_url: str, gates: Path, engineer: User
) -> None:
    wanted = {"criteria": Criteria(allowed_techniques=("torch-recover",)), "start_anyway": True}
    undisturbed = start(**wanted)
    begin(undisturbed, broker_url)
    expected = trained(undisturbed, engineer)

    gate = f"step{handlers.STRUCK_STEP}"
    (gates / gate).touch()
    session = start(**wanted, make_anew=True)
    begin(session, broker_url)
    child = psutil.Process(at_the_gate(gate))
    until(lambda: _checkpoint(session), "a checkpoint")
    struck = session.steps.get(status=Status.RUNNING)
    workshop.kill("cpu", int(struck.worker.rpartition(":")[2]))
    wait_until_gone(child.pid)
    open_gate(gates, gate)
    workshop.open("cpu")

    found = trained(session, engineer)
    assert expected.artifact_id
    assert (found.attempt, found.artifact_id, found.checkpoint) == (2, expected.artifact_id, None)
    assert found.curves["held-out loss"] == expected.curves["held-out loss"]
    resumed = session.log.filter(step_key=struck.key, message__startswith="Training continues at step ").get()
    assert 0 < int(resumed.message.split()[4]) < handlers.STRUCK_STEP


@pytest.mark.parametrize("environment", [{"LATHE_TEST_OPTIMIZE": "tests.optimization.handlers:train"}])
def test_a_long_step_goes_on_from_its_checkpoint_when_its_worker_is_killed(
    start: Callable[..., OptimizationSession], workshop: Workshop, broker_url: str, gates: Path
) -> None:
    undisturbed = start()
    begin(undisturbed, broker_url)
    assert_the_usual_verdict(ended(undisturbed))

    (gates / "round3").touch()
    session = start(make_anew=True)
    begin(session, broker_url)
    child = psutil.Process(at_the_gate("round3"))
    until(lambda: _checkpoint(session).startswith(b"2 "), "the checkpoint of the second round")
    struck = SessionStep.objects.get(status=Status.RUNNING)
    workshop.kill("cpu", int(struck.worker.rpartition(":")[2]))
    wait_until_gone(child.pid)
    open_gate(gates, "round3")
    workshop.open("cpu")
    assert_the_usual_verdict(ended(session))

    trained, again = (one.steps.get(key=struck.key) for one in (undisturbed, session))
    assert (again.attempt, again.artifact_id, again.checkpoint) == (2, trained.artifact_id, None)
    lines = [line.message for line in session.log.filter(step_key=struck.key).order_by("pk")]
    resumed = lines.index("Attempt 2 goes on from the checkpoint of an earlier one.")
    assert [line for line in lines[resumed:] if line.startswith("Round")] == ["Round 3 is done.", "Round 4 is done."]


def _checkpoint(session: OptimizationSession) -> bytes:
    """What the session's running step goes on from, should its worker die now."""
    step = session.steps.select_related("checkpoint").get(status=Status.RUNNING)
    return b"" if step.checkpoint is None else open_blob(step.checkpoint).read()


def test_a_cancelled_session_stops_its_child_within_two_seconds_and_leaves_no_file(
    session: OptimizationSession, workshop: Workshop, broker_url: str, gates: Path, engineer: User
) -> None:
    (gates / "analyse").touch()
    begin(session, broker_url)
    child = psutil.Process(at_the_gate(StepKind.ANALYSE))
    services.session_cancel(session, engineer)
    psutil.wait_procs([child], timeout=2)
    assert not child.is_running()
    assert ended(session).status == Status.CANCELLED
    until(lambda: not any(scratch.root().iterdir()), "an empty scratch folder", 5)


def test_the_worker_is_killed_during_the_check_of_an_upload(
    version: ModelVersion, workshop: Workshop, broker_url: str, gates: Path
) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(status=InspectionStatus.PENDING)
    (gates / "inspect").touch()
    workshop.open("checks")
    broker = RedisBroker(url=broker_url, namespace="lathe.recovery")
    broker.enqueue(inspect_version.message(version.pk))
    broker.close()
    at_the_gate("inspect")
    worker = next(worker for worker in Worker.objects.all() if worker.queues == ["checks"])
    workshop.kill("checks", int(worker.name.rpartition(":")[2]))
    (gates / "inspect").unlink()
    workshop.open("checks")

    def checked() -> bool:
        version.refresh_from_db()
        return version.ready

    until(checked, "the check by another worker")
    assert version.check_attempts == 2
    until(lambda: not any(scratch.root().iterdir()), "an empty scratch folder", 5)


def test_workers_that_are_told_to_stop_hand_over_and_leave(
    session: OptimizationSession, workshop: Workshop, broker_url: str, gates: Path
) -> None:
    (gates / "analyse").touch()
    begin(session, broker_url)
    at_the_gate(StepKind.ANALYSE)
    stop(workshop.children.pop("cpu"))
    step = session.steps.get()
    assert (step.status, step.attempt) == (Status.QUEUED, 0)
    assert [worker.queues for worker in Worker.objects.all()] == [["default"]]
    open_gate(gates, StepKind.ANALYSE)
    workshop.open("cpu")
    assert_the_usual_verdict(ended(session))
