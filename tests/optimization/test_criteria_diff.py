"""What a version of criteria changed: with the form's labels and units, on the page and by the API."""

from __future__ import annotations

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.criteria import Constraints, Criteria, Objective
from apps.optimization import criteria
from apps.optimization.criteria_diff import differences
from apps.optimization.models import CriteriaSet

TIGHTER = Criteria(
    objective=Objective.SIZE,
    constraints=Constraints(max_metric_drop_points=None, max_class_drop_points=4.0, max_size_bytes=5_000_000),
    forbidden_techniques=("onnx-float16",),
    accept_inconclusive=False,
)


def test_differences_have_labels_units_and_both_values() -> None:
    found = {one.field: (one.label, one.before_words, one.after_words) for one in differences(Criteria(), TIGHTER)}
    assert found == {
        "objective": ("Objective", "balanced", "size"),
        "constraints.max_metric_drop_points": ("Loss at most (points)", "1", "not set"),
        "constraints.default_rise": ("Otherwise, errors higher by at most (share)", "0.02", "not set"),
        "constraints.max_class_drop_points": ("Loss of each class at most (points)", "not set", "4"),
        "constraints.max_size_bytes": ("Size at most (MB)", "not set", "5"),
        "accept_inconclusive": ("Accept a result that is within the limits but not proven", "yes", "no"),
        "forbidden_techniques": ("Never these techniques", "none", "Float16"),
    }


def test_equal_criteria_do_not_differ() -> None:
    assert differences(TIGHTER, TIGHTER) == ()


@pytest.fixture
def changed(db: None, team: Team, engineer: User) -> CriteriaSet:
    edge = criteria.create(user=engineer, team=team, name="Edge boxes", criteria=Criteria())
    return criteria.change(edge, user=engineer, criteria=TIGHTER)


def test_the_page_lists_what_each_version_changed(client: Client, viewer: User, changed: CriteriaSet) -> None:
    client.force_login(viewer)
    page = client.get(f"/criteria/{changed.pk}/").content.decode()
    assert "Size at most (MB): <del>not set</del>" in page
    assert "<ins>5</ins>" in page


def test_the_api_compares_with_the_version_before_or_any_other(engineer: User, changed: CriteriaSet) -> None:
    api = APIClient()
    api.force_authenticate(engineer)
    address = f"/api/v1/criteria/{changed.pk}/differences/"
    found = {one["field"]: (one["before"], one["after"]) for one in api.get(address).json()["differences"]}
    assert found["constraints.max_size_bytes"] == (None, 5_000_000)
    fastest = CriteriaSet.objects.get(team=None, name="fastest")
    since = {one["field"] for one in api.get(address, {"since": fastest.pk}).json()["differences"]}
    assert "constraints.min_speedup" in since
    first = changed.__class__.objects.get(name="Edge boxes", version=1)
    answer = api.get(f"/api/v1/criteria/{first.pk}/differences/").json()
    assert answer == {"before": None, "after": "Edge boxes v1", "differences": []}
    assert api.get(address, {"since": "x"}).status_code == 404


def test_strangers_get_404(stranger: User, changed: CriteriaSet) -> None:
    api = APIClient()
    api.force_authenticate(stranger)
    assert api.get(f"/api/v1/criteria/{changed.pk}/differences/").status_code == 404
