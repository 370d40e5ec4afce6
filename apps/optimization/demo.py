"""Demo data: a team, a user, two models and a data set. Calling it again changes nothing."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.db import transaction

from apps.accounts.models import Membership, Role, Team, User
from apps.accounts.services import create_team
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.reports.dataset import Task
from apps.models.models import DataSet, InspectionStatus, ModelVersion, RegisteredModel
from apps.models.services import add_dataset, add_version, register_model
from apps.optimization.errors.demo import DemoRefused
from apps.optimization.models import CriteriaSet, OptimizationSession
from apps.optimization.services import session_start

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
EMAIL = "demo@lathe.localhost"
TEAM = "Demo"
DATA = ("Fashion-MNIST test images", "fashion_mnist_test.npz")
CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
MODELS = (
    ("fashion-resnet", "fashion_resnet.onnx", "A small ResNet: convolutions with skip connections."),
    ("fashion-mobilenet", "fashion_mobilenet.onnx", "A small MobileNet: depthwise convolutions."),
)


@dataclass(frozen=True)
class Demo:
    """The demo's rows."""

    user: User
    password: str
    team: Team
    version: ModelVersion
    """The sample model of the first session."""
    dataset: DataSet

    @property
    def ready(self) -> bool:
        """Whether workers have checked both files. Raises `DemoRefused` if one was refused."""
        for row, name in ((self.version, self.version.filename), (self.dataset, self.dataset.filename)):
            row.refresh_from_db()
            if row.status == InspectionStatus.REFUSED:
                raise DemoRefused(name=name, reason=row.refusal)
        return self.version.status == self.dataset.status == InspectionStatus.READY


FEW = {"budget": {"candidates": 4}}


def ensure_demo() -> Demo:
    """The demo team with its user and samples, created if missing. Workers check the files later."""
    user, password = _person()
    team = _team(user)
    versions = [_version(team, user, *model) for model in MODELS]
    return Demo(user, password, team, versions[0], _dataset(team, user))


def start_session(demo: Demo) -> OptimizationSession:
    """A session of the first sample under the profile “fastest”, started by the same service as on the page and in the
    API. It tries few candidates, so that a visitor sees its end.
    """
    fastest = CriteriaSet.objects.current().get(team=None, name="fastest")
    return session_start(
        user=demo.user, version=demo.version, dataset=demo.dataset, criteria_set=fastest, overrides=FEW
    )


def session_at_work(demo: Demo) -> OptimizationSession:
    """The demo team's active session, or a new one, so that visitors see a session at work."""
    return demo.team.sessions.active().first() or start_session(demo)


def _person() -> tuple[User, str]:
    """The demo's user. The password is generated once and kept in a file that only this system user can read."""
    path = Path(settings.LATHE.var_dir) / "demo_password"
    user = User.objects.filter(email=EMAIL).first()
    if user is not None and path.exists() and user.check_password(password := path.read_text()):
        return user, password
    password = secrets.token_urlsafe(9)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(password)
    if user is None:
        return User.objects.create_superuser(EMAIL, password, first_name="Demo"), password
    user.set_password(password)
    user.save(update_fields=["password"])
    return user, password


def _team(user: User) -> Team:
    team: Team = Team.objects.filter(name=TEAM).first() or create_team(TEAM, user)
    Membership.objects.get_or_create(team=team, user=user, defaults={"role": Role.OWNER})
    return team


@transaction.atomic
def _version(team: Team, user: User, name: str, filename: str, description: str) -> ModelVersion:
    model = RegisteredModel.objects.filter(team=team, name=name).first()
    if model is None:
        model = register_model(team, user, name, description, tags=["sample"])
    version = model.versions.order_by("number").first()
    if version is not None:
        return version
    with (SAMPLES / filename).open("rb") as file:
        return add_version(model, user, file=File(file, filename), filename=filename)


def _dataset(team: Team, user: User) -> DataSet:
    name, filename = DATA
    dataset = DataSet.objects.filter(team=team, name=name).first()
    if dataset is not None:
        return dataset
    spec = DatasetSpec(kind=DatasetKind.NPZ, task=Task.CLASSIFICATION, classes=CLASSES)
    with (SAMPLES / filename).open("rb") as file:
        return add_dataset(team, user, name, spec, file=File(file, filename), filename=filename)
