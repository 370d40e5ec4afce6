"""The demo's team, person and samples are made once, through the same doors as everybody's."""

from __future__ import annotations

import dataclasses
import stat
from pathlib import Path

import pytest

from apps.accounts.models import Role, User
from apps.accounts.services import may
from apps.models.models import DataSet, InspectionStatus, ModelVersion
from apps.optimization.demo import EMAIL, DemoRefused, ensure_demo, session_at_work
from apps.optimization.services import session_cancel
from tests.optimization import crank

pytestmark = pytest.mark.portable


@pytest.fixture
def demo(db, settings, tmp_path):
    settings.LATHE = dataclasses.replace(settings.LATHE, var_dir=tmp_path)
    return ensure_demo()


def test_the_person_can_log_in_and_owns_the_team(demo, client):
    assert client.login(username=EMAIL, password=demo.password)
    assert may(demo.user, demo.team, Role.OWNER)


def test_the_password_is_kept_for_this_user_alone(demo, settings):
    path = Path(settings.LATHE.var_dir) / "demo_password"
    assert path.read_text() == demo.password
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_asking_again_changes_nothing(demo):
    again = ensure_demo()
    assert again == demo
    assert User.objects.filter(email=EMAIL).count() == 1
    assert ModelVersion.objects.filter(model__team=demo.team).count() == 2
    assert DataSet.objects.filter(team=demo.team).count() == 1


def test_a_lost_password_is_replaced(demo, settings):
    (Path(settings.LATHE.var_dir) / "demo_password").unlink()
    again = ensure_demo()
    assert again.password != demo.password
    assert again.user.check_password(again.password)


def test_it_is_ready_when_both_files_have_been_checked(demo):
    assert not demo.ready
    ModelVersion.objects.update(status=InspectionStatus.READY)
    assert not demo.ready
    DataSet.objects.update(status=InspectionStatus.READY)
    assert demo.ready


def test_a_refused_sample_is_told_with_its_reason(demo):
    demo.dataset.refuse("dataset.broken", "The file ends too early.")
    with pytest.raises(DemoRefused, match=r"fashion_mnist_test.npz was refused: The file ends too early\."):
        _ = demo.ready


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_there_is_always_a_session_at_work_and_never_two(demo):
    crank.turn_until_quiet()
    for row in (demo.version, demo.dataset):
        row.refresh_from_db()
    assert demo.ready
    first = session_at_work(demo)
    assert session_at_work(demo) == first
    session_cancel(first, demo.user)
    crank.turn("default")
    second = session_at_work(demo)
    assert second != first
    assert second.is_active
