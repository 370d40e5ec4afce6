"""Data sets of texts: sent in by form and API, checked in the child, shown with their first texts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import Team, User
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec, TextReading
from apps.agents.contracts.reports.dataset import Task
from apps.models import services
from apps.models.dataset_forms import KIND_LABELS, TASK_LABELS
from apps.models.errors import DataSetWrongType
from apps.models.inspection import inspect_dataset
from apps.models.models import DataSet
from tests.models.conftest import upload_of

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

STORIES = "\n\n".join(f"Once upon a time, there were {number} foxes in a wood." for number in range(40)).encode()
REVIEWS = "\n".join(
    json.dumps({"text": f"Film {number} was <i>good</i>.", "label": number % 2}) for number in range(40)
).encode()
PUZZLES = "\n".join(
    json.dumps({"context": f"{number} and 1 are", "choices": [str(number), str(number + 1)], "answer": 1})
    for number in range(40)
).encode()


def spec(task: str, **more: Any) -> dict[str, Any]:
    return {"kind": "text", "task": task, **more}


def test_every_kind_and_task_has_its_words() -> None:
    assert set(KIND_LABELS) == set(DatasetKind)
    assert set(TASK_LABELS) == set(Task)


@pytest.mark.parametrize(
    ("data", "task"),
    [(STORIES, "language_modeling"), (REVIEWS, "classification"), (PUZZLES, "multiple_choice"), (b"one\n", "fidelity")],
)
def test_texts_are_taken_by_their_content(team: Team, engineer: User, data: bytes, task: str) -> None:
    assert services.add_dataset(team, engineer, "Texts", spec(task), file=upload_of(data, "texts")).pending


def test_what_is_no_text_is_refused_at_once(team: Team, engineer: User, npz_bytes: bytes) -> None:
    with pytest.raises(DataSetWrongType, match="one JSON object per line"):
        services.add_dataset(team, engineer, "Texts", spec("classification"), file=upload_of(npz_bytes))


ANSWERS = {"name": "Texts", "kind": "text"}


class TestTheForm:
    def sent(self, client: Client, data: bytes, **answers: Any) -> DatasetSpec:
        response = client.post("/datasets/upload/", {**ANSWERS, **answers, "file": upload_of(data, "texts.jsonl")})
        assert response.status_code == 302, response.content.decode()
        return DatasetSpec.model_validate(DataSet.objects.get().spec)

    def test_what_is_left_empty_is_as_usual(self, browse: Callable[[User], Client], engineer: User) -> None:
        made = self.sent(browse(engineer), STORIES, task="language_modeling", label="y")
        assert made.reading == TextReading()
        assert made.primary_metric == "perplexity"

    def test_the_fields_of_a_line_can_have_other_names(self, browse: Callable[[User], Client], engineer: User) -> None:
        answers = {"text": "review", "text_label": "stars", "classes": "bad, good", "max_tokens": "64"}
        made = self.sent(browse(engineer), REVIEWS, task="classification", **answers)
        assert (made.reading.text, made.label_name, made.reading.max_tokens) == ("review", "stars", 64)
        assert made.classes == ("bad", "good")

    @pytest.mark.parametrize(("chosen", "joint"), [("space", " "), ("nothing", ""), ("line", "\n")])
    def test_what_joins_context_and_choice_is_chosen_in_words(
        self, browse: Callable[[User], Client], engineer: User, chosen: str, joint: str
    ) -> None:
        made = self.sent(browse(engineer), PUZZLES, task="multiple_choice", joint=chosen)
        assert made.reading.joint == joint

    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"task": "regression"}, "does not go with texts"),
            ({"task": "language_modeling", "metric": "top1"}, "does not go with task"),
            ({"task": "language_modeling", "max_tokens": "2"}, "greater than or equal to 8"),
            ({"task": "language_modeling", "kind": "npz"}, "the kind must be text"),
        ],
    )
    def test_a_mistake_is_said(
        self, browse: Callable[[User], Client], engineer: User, changed: dict[str, str], sentence: str
    ) -> None:
        answers = {**ANSWERS, **changed, "file": upload_of(STORIES)}
        response = browse(engineer).post("/datasets/upload/", answers)
        assert response.status_code == 422
        assert sentence in response.content.decode()

    def test_the_error_stands_beside_its_field(self, browse: Callable[[User], Client], engineer: User) -> None:
        answers = {**ANSWERS, "task": "language_modeling", "max_tokens": "2", "file": upload_of(STORIES)}
        response = browse(engineer).post("/datasets/upload/", answers)
        assert list(response.context["form"].errors) == ["max_tokens"]


@pytest.mark.children
class TestInAChild:
    """With the real child process."""

    def ready(self, team: Team, engineer: User, data: bytes, task: str, **more: Any) -> DataSet:
        dataset = services.add_dataset(team, engineer, task, spec(task, **more), file=upload_of(data, "texts"))
        inspect_dataset(dataset.pk)
        dataset.refresh_from_db()
        assert dataset.ready, dataset.refusal
        return dataset

    def test_the_page_shows_the_first_texts_with_their_numbers(
        self, team: Team, engineer: User, browse: Callable[[User], Client], viewer: User
    ) -> None:
        reviews = self.ready(team, engineer, REVIEWS, "classification", classes=["bad", "good"])
        client = browse(viewer)
        html = client.get(reviews.get_absolute_url()).content.decode()
        for words in (
            "Film 0 was &lt;i&gt;good&lt;/i&gt;.",
            "Film 4",
            "label: 0",
            "characters",
            "good</th>",
            "Texts (",
        ):
            assert words in html
        assert "Film 5" not in html
        assert ">classification<" in client.get("/datasets/").content.decode()

    def test_choices_stand_under_their_context(
        self, team: Team, engineer: User, browse: Callable[[User], Client], viewer: User
    ) -> None:
        puzzles = self.ready(team, engineer, PUZZLES, "multiple_choice")
        assert puzzles.described.excerpts[0].texts == ("0 and 1 are", "0", "1")
        client = browse(viewer)
        assert "answer: 1" in client.get(puzzles.get_absolute_url()).content.decode()
        assert ">multiple choice<" in client.get("/datasets/").content.decode()

    def test_long_texts_are_cut_and_what_no_database_keeps_is_replaced(self, team: Team, engineer: User) -> None:
        text = "\x00" + "long " * 1000
        data = "\n".join(json.dumps({"text": text}) for _ in range(20)).encode()
        [*excerpts] = self.ready(team, engineer, data, "fidelity").described.excerpts
        assert [len(excerpt.texts[0]) for excerpt in excerpts] == [401] * 5
        assert excerpts[0].texts[0].startswith("�long ")


def test_the_api_takes_texts_and_shows_how_they_are_read(api: Callable[[User], APIClient], engineer: User) -> None:
    asked = spec("classification", text={"label": "stars"}, classes=["bad", "good"])
    answers = {"name": "Texts", "spec": json.dumps(asked), "file": upload_of(REVIEWS, "reviews.jsonl")}
    made = api(engineer).post("/api/v1/datasets/", answers, format="multipart")
    assert made.status_code == 201, made.data
    assert made.data["spec"]["text"]["label"] == "stars"
    wrong = json.dumps(spec("classification", text={"max_tokens": 1}))
    refused = api(engineer).post(
        "/api/v1/datasets/", {"name": "x", "spec": wrong, "file": upload_of(REVIEWS)}, format="multipart"
    )
    assert refused.data["errors"][0]["field"] == "spec.text.max_tokens"
