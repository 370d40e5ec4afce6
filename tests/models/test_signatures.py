"""A member chooses which function of a file is meant, where it offers several."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.agents.contracts.job_arguments import InspectModelArguments
from apps.agents.contracts.reports.model import ModelSummary, Signature, TensorSpec
from apps.models import inspection, services
from apps.models.errors import SignatureInUse, SignatureNotOffered, VersionNotReady
from apps.models.models import DataSet, InspectionStatus, ModelMetadata, ModelVersion
from apps.optimization.models import OptimizationSession

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

IMAGE = TensorSpec(name="image", dtype="float32", shape=(None, 32, 32, 3))
TEXT = TensorSpec(name="text", dtype="string", shape=(None,))
LOGITS = TensorSpec(name="logits", dtype="float32", shape=(None, 10))
SIGNATURES = (
    Signature(name="serving_default", inputs=(IMAGE,), outputs=(LOGITS,)),
    Signature(name="serving_texts", inputs=(TEXT,), outputs=(LOGITS,)),
)


def summary(chosen: Signature, signatures: tuple[Signature, ...] = SIGNATURES) -> ModelSummary:
    return ModelSummary(
        format="saved-model",
        producer="TensorFlow 2.21.0",
        opset=None,
        inputs=chosen.inputs,
        outputs=chosen.outputs,
        parameters=10,
        size_bytes=40,
        operators={"MatMul": 1},
        weight_dtypes={"float32": 10},
        signature=chosen.name,
        signatures=signatures,
    )


@pytest.fixture
def served(version: ModelVersion) -> ModelVersion:
    """A SavedModel with two functions, about its default one."""
    ModelMetadata.record(version, summary(SIGNATURES[0]))
    version.refresh_from_db()
    return version


def test_what_is_offered_and_what_is_meant_is_kept(served: ModelVersion) -> None:
    assert served.metadata.summary == summary(SIGNATURES[0])


def test_a_choice_has_a_worker_look_again(
    served: ModelVersion, owner: User, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[InspectModelArguments] = []

    def look(blob: object, role: str, handler: str, arguments: InspectModelArguments) -> dict[str, Any]:
        asked.append(arguments)
        return summary(SIGNATURES[1]).model_dump(mode="json")

    monkeypatch.setattr(inspection, "_checked", look)
    sent: list[int] = []
    monkeypatch.setattr("apps.models.messages.send_version", sent.append)

    with django_capture_on_commit_callbacks(execute=True):
        chosen = services.choose_signature(served, owner, "serving_texts")

    assert (chosen.status, chosen.signature, sent) == (InspectionStatus.PENDING, "serving_texts", [served.pk])
    inspection.inspect_version(served.pk)
    served.refresh_from_db()
    assert asked[0].signature == "serving_texts"
    assert served.ready
    assert served.metadata.summary.signature == "serving_texts"
    assert served.metadata.summary.inputs == (TEXT,)


def test_a_version_without_a_choice_is_inspected_for_its_default(
    served: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    ModelVersion.objects.filter(pk=served.pk).update(status=InspectionStatus.PENDING)
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        inspection, "_checked", lambda *given: asked.append(given[3]) or summary(SIGNATURES[0]).model_dump(mode="json")
    )
    inspection.inspect_version(served.pk)
    assert "signature" not in asked[0]


def test_choosing_the_same_one_again_changes_nothing(served: ModelVersion, owner: User) -> None:
    assert services.choose_signature(served, owner, "serving_default").ready


def test_a_signature_that_is_not_there_is_refused_with_those_that_are(served: ModelVersion, owner: User) -> None:
    with pytest.raises(SignatureNotOffered, match="serving_default, serving_texts"):
        services.choose_signature(served, owner, "predict")


def test_a_file_with_nothing_to_choose_says_so(version: ModelVersion, owner: User) -> None:
    with pytest.raises(SignatureNotOffered, match="Choose from: none"):
        services.choose_signature(version, owner, "predict")


def test_a_version_that_is_being_checked_is_left_alone(served: ModelVersion, owner: User) -> None:
    served.look_again()
    with pytest.raises(VersionNotReady):
        services.choose_signature(served, owner, "serving_texts")


def test_what_a_session_rests_on_stays(served: ModelVersion, dataset: DataSet, owner: User) -> None:
    OptimizationSession.objects.create(
        team=served.model.team, version=served, dataset=dataset, criteria_body={}, seed=1, created_by=owner
    )
    with pytest.raises(SignatureInUse, match="Add the file as another version"):
        services.choose_signature(served, owner, "serving_texts")
    served.refresh_from_db()
    assert served.ready
    assert served.signature == ""


def test_who_only_looks_does_not_choose(served: ModelVersion, viewer: User) -> None:
    with pytest.raises(PermissionDenied):
        services.choose_signature(served, viewer, "serving_texts")


# --- the page ---------------------------------------------------------------------------------------------------------


def page(client: Client, user: User, served: ModelVersion) -> str:
    client.force_login(user)
    return client.get(served.get_absolute_url()).content.decode()


def test_the_page_offers_every_signature_with_what_it_takes(served: ModelVersion, client: Client, owner: User) -> None:
    html = page(client, owner, served)
    assert html.count('type="radio"') == 2
    assert 'value="serving_default" checked' in html
    assert "text: string[?]" in html
    assert "Use the selected one" in html


def test_who_only_looks_sees_them_and_cannot_choose(served: ModelVersion, client: Client, viewer: User) -> None:
    html = page(client, viewer, served)
    assert html.count("disabled") >= 2
    assert "Use the selected one" not in html


def test_the_only_signature_is_named_and_strings_are_explained(
    served: ModelVersion, client: Client, owner: User
) -> None:
    ModelMetadata.record(served, summary(SIGNATURES[1], SIGNATURES[1:]))
    html = page(client, owner, served)
    assert "<dt>Signature</dt><dd><code>serving_texts</code></dd>" in html
    assert "This input takes strings" in html
    assert 'type="radio"' not in html


def test_the_page_takes_a_choice_and_says_why_another_is_refused(
    served: ModelVersion, client: Client, owner: User
) -> None:
    client.force_login(owner)
    url = reverse("models:version-signature", args=[served.model_id, served.number])
    refused = client.post(url, {"name": "predict"}, follow=True).content.decode()
    assert "has no signature" in refused
    client.post(url, {"name": "serving_texts"})
    served.refresh_from_db()
    assert (served.signature, served.pending) == ("serving_texts", True)


# --- the API ----------------------------------------------------------------------------------------------------------


def test_the_api_chooses_and_refuses_by_code(served: ModelVersion, owner: User) -> None:
    client = APIClient()
    client.force_authenticate(owner)
    url = f"/api/v1/versions/{served.pk}/signature/"
    refused = client.post(url, {"name": "predict"}, format="json")
    assert (refused.status_code, refused.json()["code"]) == (422, "version.signature_unknown")
    chosen = client.post(url, {"name": "serving_texts"}, format="json").json()
    assert (chosen["status"], chosen["signature"]) == ("pending", "serving_texts")
    assert [one["name"] for one in chosen["metadata"]["signatures"]] == ["serving_default", "serving_texts"]
