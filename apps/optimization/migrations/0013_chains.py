"""A candidate is a chain of techniques: its row, and the plans that were written before, list every link.

Exports and preparations were known by the steps that made them only. Where a candidate was made or measured, its steps
tell what came before; where it was not, the last link stands alone.
"""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PREPARATION = "onnx-graph"
TITLES = {
    "onnx-export": "Export to ONNX",
    "tensorflow-onnx-export": "Export to ONNX (tf2onnx)",
    "litert-export": "Export to LiteRT",
    PREPARATION: "Graph optimization",
}
"""Of everything that came before the last link."""


def write_chains(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    sessions = apps.get_model("optimization", "OptimizationSession").objects.filter(steps__kind="plan").distinct()
    for session in sessions.iterator():
        steps = {step.key: step for step in session.steps.order_by("pk")}
        heads = {}
        for row in session.candidates.all():
            heads[row.key] = _head(row.key, steps)
            row.steps = [*heads[row.key], _last(row.technique, row.parameters, row.title)]
            row.save(update_fields=["steps"])
        for step in steps.values():
            if step.kind == "plan" and "candidates" in step.result:
                step.result = _plan(step.result, heads)
                step.save(update_fields=["result"])
        if session.plan:
            session.plan = _plan(session.plan, heads)
            session.save(update_fields=["plan"])


def _head(key: str, steps: dict[str, Any]) -> list[dict[str, Any]]:
    """What the candidate's own step started from, or the export that was measured as it."""
    own, measured = steps.get(f"{key}/optimize"), steps.get(f"{key}/evaluate")
    made = own or (steps.get(measured.parent_key) if measured else None)
    head = []
    before = steps.get(made.parent_key) if made else None
    while before is not None:
        name = before.technique
        link = {"technique": name, "parameters": before.parameters, "title": TITLES.get(name, name), "variant": ""}
        head.append({**link, "optional": name == PREPARATION})
        before = steps.get(before.parent_key)
    return head[::-1]


def _last(technique: str, parameters: dict[str, Any], title: str) -> dict[str, Any]:
    """Technique and variant stood in one title with a colon between."""
    name, _, variant = title.partition(": ")
    return {"technique": technique, "parameters": parameters, "title": name, "variant": variant, "optional": False}


def _plan(body: dict[str, Any], heads: dict[str, Any]) -> dict[str, Any]:
    return {**body, "candidates": [_candidate(one, heads) for one in body["candidates"]]}


def _candidate(body: dict[str, Any], heads: dict[str, Any]) -> dict[str, Any]:
    if "technique" not in body:
        return body
    rest = {name: value for name, value in body.items() if name not in ("technique", "parameters", "title")}
    last = _last(body["technique"], body["parameters"], body["title"])
    return {**rest, "steps": [*heads.get(body["key"], ()), last]}


def write_last_links(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The other way: plans are read in both shapes."""
    for row in apps.get_model("optimization", "Candidate").objects.exclude(steps=[]).iterator():
        row.parameters = row.steps[-1]["parameters"]
        row.save(update_fields=["parameters"])


class Migration(migrations.Migration):
    dependencies = [("optimization", "0012_reports_are_stored_once")]

    operations = [
        migrations.AddField(model_name="candidate", name="steps", field=models.JSONField(default=list)),
        migrations.RunPython(write_chains, write_last_links),
    ]
