"""Every report that is there finds its step; what pages have shown of it stays what they show.

A migration of its own: PostgreSQL changes no table in a transaction that has changed its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import migrations


def one_by_one(rows: Any) -> Iterator[Any]:
    """Each of `rows`, read alone: reports are long, and changed meanwhile."""
    for pk in list(rows.values_list("pk", flat=True)):
        yield rows.model.objects.select_related(*(rows.query.select_related or ())).get(pk=pk)


def point_to_steps(apps: Any, schema_editor: Any) -> None:
    steps = apps.get_model("optimization", "SessionStep").objects
    analyses = apps.get_model("optimization", "AnalysisReport").objects
    for report in one_by_one(analyses.filter(step=None)):
        own = {"session_id": report.session_id, "kind": "analyse", "parent_key": ""}
        analyses.filter(pk=report.pk).update(step=holding(report.body, steps, own, "kept/analyse"))
    evaluations = apps.get_model("optimization", "EvaluationReport").objects
    for report in one_by_one(evaluations.filter(step=None).select_related("candidate")):
        key = report.candidate.key
        own = {"session_id": report.candidate.session_id, "kind": "evaluate", "candidate_key": key}
        evaluations.filter(pk=report.pk).update(step=holding(report.body, steps, own, f"kept/{key}/evaluate"))


def holding(body: dict[str, Any], steps: Any, own: dict[str, Any], key: str) -> Any:
    """The step of those that are `own` whose result is `body`, apart from the outcomes of single examples.

    Where none is, the last of them gets it, and where there are none, a step named `key` is made to hold it.
    """
    found = sorted(steps.filter(**own), key=lambda step: (step.status == "completed", step.pk), reverse=True)
    for step in found:
        if without_outcomes(step.result) == without_outcomes(body):
            return step
    if not found:
        reason = "Holds a report whose own step is gone."
        return steps.create(**own, key=key, status="completed", reason=reason, result=body)
    last = found[0]
    kept = {name: value for name, value in last.result.items() if name == "outcomes"}
    last.result = {**body, **kept}
    last.save(update_fields=["result"])
    return last


def without_outcomes(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != "outcomes"}


def copy_from_steps(apps: Any, schema_editor: Any) -> None:
    analyses = apps.get_model("optimization", "AnalysisReport").objects
    for report in one_by_one(analyses.select_related("step")):
        analyses.filter(pk=report.pk).update(body=report.step.result)
    evaluations = apps.get_model("optimization", "EvaluationReport").objects
    for report in one_by_one(evaluations.select_related("step")):
        evaluations.filter(pk=report.pk).update(body={**report.step.result, "outcomes": None})


class Migration(migrations.Migration):
    dependencies = [("optimization", "0010_step_of_a_report")]

    operations = [migrations.RunPython(point_to_steps, copy_from_steps)]
