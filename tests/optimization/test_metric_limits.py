"""Limits on further metrics and other outputs in the form of criteria, and in what two versions differ in."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.agents.contracts.criteria import Constraints, Criteria, merged
from apps.optimization.criteria_diff import differences
from apps.optimization.forms.continuing import ContinueForm
from apps.optimization.forms.criteria import CriteriaForm
from apps.optimization.metric_limits import MetricLimitsField, in_words

LIMITED = Criteria(constraints=Constraints(metric_limits={"macro_f1": 2.0, "top5": 0.5}, max_output_deviation=0.1))


def filled(criteria: Criteria, **changes: Any) -> dict[str, Any]:
    """What a browser sends for the form that shows `criteria`."""
    form = CriteriaForm(initial={**CriteriaForm.answers_of(criteria), "name": "Mine"})
    values = {name: form[name].value() for name in form.fields}
    shown = {name: form.fields[name].prepare_value(value) for name, value in values.items()}
    return {**{name: value for name, value in shown.items() if value is not None}, **changes}


def test_the_form_gives_back_what_it_shows() -> None:
    form = CriteriaForm(filled(LIMITED))
    assert form.is_valid(), form.errors
    assert form.criteria == LIMITED
    assert form["metric_limits"].value() == "macro_f1: 2\ntop5: 0.5"
    cleared = CriteriaForm(filled(LIMITED, metric_limits="", max_output_deviation=""))
    assert cleared.is_valid(), cleared.errors
    assert cleared.criteria == Criteria(constraints=Constraints(max_output_deviation=None))


def test_the_form_that_continues_a_session_keeps_them() -> None:
    form = ContinueForm(filled(LIMITED), criteria=LIMITED)
    assert form.is_valid(), form.errors
    assert form.criteria == LIMITED


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        (" Macro F1 : 2 \n\nmae: 0.5", {"macro_f1": 2.0, "mae": 0.5}),
        ("top-1 accuracy: 1", {"top1": 1.0}),
    ],
)
def test_names_and_labels_are_read(text: str, limits: dict[str, float]) -> None:
    assert MetricLimitsField().clean(text) == limits


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("macro_f1", "does not have the form"),
        ("f2: 1", "with one of the metrics"),
        ("macro_f1: two", "is not a number"),
        ("macro_f1: 1\nMacro F1: 2", "has two limits"),
    ],
)
def test_other_lines_are_refused_with_the_line(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        MetricLimitsField().clean(text)


def test_a_limit_below_zero_is_an_error_of_the_field() -> None:
    form = CriteriaForm(filled(LIMITED, metric_limits="macro_f1: -1"))
    assert not form.is_valid()
    assert list(form.errors) == ["metric_limits"]


def test_two_versions_differ_in_them_in_words() -> None:
    found = {one.field: one for one in differences(Criteria(), LIMITED)}
    limits = found["constraints.metric_limits"]
    assert (limits.before_words, limits.after_words) == ("none", "macro F1: 2 points, top-5 accuracy: 0.5 points")
    assert limits.label == "Loss of further metrics at most"
    assert found["constraints.max_output_deviation"].after_words == "0.1"
    assert in_words({"mae": 0.5}) == "mean absolute error: 0.5"


def test_null_removes_one_limit_and_old_criteria_have_the_usual_one_on_outputs() -> None:
    body = merged(LIMITED.model_dump(mode="json"), {"constraints": {"metric_limits": {"top5": None}}})
    assert Criteria.model_validate(body).constraints.metric_limits == {"macro_f1": 2.0}
    old = LIMITED.model_dump(mode="json")
    del old["constraints"]["metric_limits"], old["constraints"]["max_output_deviation"]
    assert Criteria.model_validate(old) == Criteria()


def test_constraints_with_limits_on_metrics_can_be_keys() -> None:
    one, other = ({"macro_f1": 2.0, "top5": 0.5}, {"top5": 0.5, "macro_f1": 2.0})
    known = {Constraints(metric_limits=one): "these"}
    assert known[Constraints(metric_limits=other)] == "these"
    assert Constraints() not in known
