"""Limits on further outputs in the form of criteria, and in what two versions differ in."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from apps.agents.contracts.criteria import Constraints, Criteria, merged
from apps.optimization.criteria_diff import differences
from apps.optimization.forms.criteria import CriteriaForm
from apps.optimization.output_limits import OutputLimitsField
from tests.optimization.test_metric_limits import filled

LIMITED = Criteria(constraints=Constraints(output_limits={"age": 2.0, "head:0": 0.5}))


def test_the_form_gives_back_what_it_shows() -> None:
    form = CriteriaForm(filled(LIMITED))
    assert form.is_valid(), form.errors
    assert form.criteria == LIMITED
    assert form["output_limits"].value() == "age: 2\nhead:0: 0.5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("age", "does not have the form"),
        (": 1", "does not have the form"),
        ("age: two", "is not a number"),
        ("age: 1\nage: 2", "has two limits"),
    ],
)
def test_other_lines_are_refused_with_the_line(text: str, why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        OutputLimitsField().clean(text)


def test_two_versions_differ_in_them_in_words() -> None:
    limits = {one.field: one for one in differences(Criteria(), LIMITED)}["constraints.output_limits"]
    assert (limits.before_words, limits.after_words) == ("none", "age: 2, head:0: 0.5")
    assert limits.label == "Loss of further outputs at most"


def test_null_removes_one_limit_and_constraints_with_limits_can_be_keys() -> None:
    body = merged(LIMITED.model_dump(mode="json"), {"constraints": {"output_limits": {"age": None}}})
    assert Criteria.model_validate(body).constraints.output_limits == {"head:0": 0.5}
    assert {LIMITED.constraints: "these"}[Constraints(output_limits={"head:0": 0.5, "age": 2.0})] == "these"
