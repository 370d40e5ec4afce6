"""A session whose model changes its format on the way: what steps are given, what is kept, handed over and shown."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.formats import Format
from apps.agents.contracts.reports.measurements import ModeLatency
from apps.agents.contracts.reports.recipe import Recipe
from apps.agents.contracts.state import Plan, Status, StepKind
from apps.agents.evaluation import selection
from apps.optimization import jobs, live
from apps.optimization.lineage import Lineage, chain_to, input_format, makers
from apps.optimization.models import OptimizationSession, SessionStep
from apps.optimization.recipe import recipe_of
from apps.optimization.rendering import report_html
from apps.optimization.serializers import CandidateSerializer
from apps.optimization.services import promote, report, session_preview, session_resume
from lathe import terminal
from tests.optimization import exported, material
from tests.optimization.arguments import arguments_of

chains = import_module("apps.optimization.migrations.0013_chains")

pytestmark = [pytest.mark.django_db, pytest.mark.portable]

CHAIN = ["onnx-export", "onnx-graph", "onnx-dynamic-int8"]


@pytest.fixture
def finished(session: OptimizationSession) -> OptimizationSession:
    return exported.finish(session)


def step(session: OptimizationSession, key: str) -> SessionStep:
    return session.steps.get(key=key)


@pytest.mark.parametrize(
    ("key", "given"),
    [
        ("analyse", Format.TRANSFORMERS),
        ("export", Format.TRANSFORMERS),
        ("analyse-exported", Format.ONNX),
        ("c01/evaluate", Format.ONNX),
        ("c02/optimize", Format.ONNX),
        ("c02/evaluate", Format.ONNX),
        ("c03/evaluate", Format.TRANSFORMERS),
        ("package", Format.ONNX),
    ],
)
def test_a_step_is_told_the_format_of_what_it_starts_from_and_of_the_original(
    finished: OptimizationSession, key: str, given: Format
) -> None:
    arguments = arguments_of(step(finished, key))

    assert (arguments["original_format"], arguments["format"]) == (Format.TRANSFORMERS, given)
    assert input_format(step(finished, key)) == given


@pytest.mark.parametrize("key", ["analyse-exported", "c02/optimize", "c02/evaluate", "package"])
def test_a_step_after_the_analysis_is_told_what_the_original_takes_and_gives(
    finished: OptimizationSession, key: str
) -> None:
    told = arguments_of(step(finished, key))["original_interface"]

    assert told == exported.EAGER.model.interface.model_dump(mode="json")


def test_the_plan_is_given_both_analyses(finished: OptimizationSession) -> None:
    arguments = arguments_of(step(finished, "plan"))

    assert arguments["analysis"] == exported.EAGER.model_dump(mode="json")
    assert arguments["exported"] == [material.ANALYSIS.model_dump(mode="json")]


def test_the_analysis_of_the_export_leaves_that_of_the_original_alone(finished: OptimizationSession) -> None:
    assert finished.analysis.body["latency"]["p50_ms"] == 8.0
    assert finished.analysis.body["model"]["format"] == Format.TRANSFORMERS


def test_the_package_is_named_after_what_is_in_it(finished: OptimizationSession) -> None:
    arguments = arguments_of(step(finished, "package"))

    assert arguments["filename"] == "model.onnx"
    assert arguments["summary"] == material.MODEL.model_dump(mode="json")
    assert (arguments["outcome"], arguments["untried"]) == (finished.outcome, None)
    assert "dataset" in jobs._blobs(step(finished, "package"))


def test_every_candidate_has_its_maker_though_the_export_was_made_before_the_plan(
    finished: OptimizationSession,
) -> None:
    assert {key: maker.key for key, maker in makers(finished).items()} == {
        "c01": "export",
        "c02": "c02/optimize",
        "c03": "c03/optimize",
        "c04": "c04/optimize",
    }
    assert [one.key for one in chain_to(finished, "c02/optimize")] == ["export", "prepare", "c02/optimize"]


def test_the_recipe_begins_with_the_export_and_knows_the_original_s_format(finished: OptimizationSession) -> None:
    recipe = Recipe.model_validate_json(recipe_of(finished).model_dump_json())

    assert recipe.original.format == Format.TRANSFORMERS
    assert [one.technique for one in recipe.steps] == ["onnx-export", "onnx-graph", "onnx-dynamic-int8"]


def test_a_pytorch_model_may_be_promoted_to_a_version_in_onnx(finished: OptimizationSession, engineer: User) -> None:
    version = promote(finished, engineer).version

    assert version.model == finished.version.model
    assert version.filename == "model.onnx"
    assert version.metadata.format == Format.ONNX
    assert version.parent == finished.version


def test_the_export_itself_can_be_promoted(finished: OptimizationSession, engineer: User) -> None:
    handed_over = exported.hand_over(finished, "c01", "export")

    assert promote(handed_over, engineer).version.source_step == "export"
    assert [one.technique for one in recipe_of(handed_over).steps] == ["onnx-export"]


def test_an_export_that_failed_is_not_made_again_when_a_session_goes_on(
    finished: OptimizationSession, engineer: User
) -> None:
    """The plan was made without it, and stands."""
    finished.steps.filter(key__in=("export", "c02/optimize")).update(status=Status.FAILED)
    finished.steps.filter(key="package").update(status=Status.FAILED)
    OptimizationSession.objects.filter(pk=finished.pk).update(status=Status.FAILED)
    finished.refresh_from_db()

    session_resume(finished, engineer)

    assert step(finished, "package").status == Status.QUEUED
    assert {step(finished, key).status for key in ("export", "c02/optimize")} == {Status.FAILED}


def test_the_preview_of_a_pytorch_model_has_one_line_for_what_is_out_of_reach(
    finished: OptimizationSession, session: OptimizationSession
) -> None:
    found = session_preview(finished.version, finished.dataset, Criteria())

    techniques = [one.technique for one in found.compatibility]
    assert {"onnx-export", "onnx-dynamic-int8", "torch-gptq"} <= set(techniques)
    assert "onnx-export" in {one.technique for one in found.plan.candidates}
    assert "ONNX" not in techniques
    others = next(one.reason for one in found.compatibility if one.technique == "PyTorch")
    assert others.startswith("They take a PyTorch exported program or")
    assert "torch-prune" not in techniques


def test_the_preview_of_an_onnx_model_does_not_list_what_takes_pytorch(session: OptimizationSession) -> None:
    techniques = [one.technique for one in session_preview(session.version, session.dataset, Criteria()).compatibility]

    assert techniques[-3:] == ["PyTorch", "TensorFlow", "LiteRT"]
    assert not [name for name in techniques if name.startswith("torch-")]


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_the_report_names_runtimes_and_compares_them(finished: OptimizationSession) -> None:
    found = report(finished)

    assert found.runtime == "PyTorch"
    assert {one.key: one.runtime for one in found.candidates}["c01"] == "ONNX Runtime"
    first = found.runtimes[0]
    assert (first.runtime, first.latency.p50_ms) == ("PyTorch", 8.0)
    assert found.several_runtimes
    assert "worse than plain rounding" in found.against_baseline["c03"]


def page(client: Client, user: User, name: str, *arguments: object) -> str:
    client.force_login(user)
    return " ".join(client.get(reverse(name, args=arguments)).content.decode().split())


def test_the_session_s_page_shows_both_runtimes_and_which_candidate_runs_in_which(
    client: Client, finished: OptimizationSession, engineer: User
) -> None:
    html = page(client, engineer, "optimization:session-detail", finished.pk)

    assert "Exported to ONNX" in html
    assert '<th scope="row">ONNX Runtime <span class="soft small">exported</span></th>' in html
    assert '<span class="small soft">PyTorch</span>' in html
    assert "ONNX Runtime" in {row.runtime for row in live.read(finished).candidates}


@pytest.fixture
def in_three_runtimes(finished: OptimizationSession) -> OptimizationSession:
    """The same, exported to LiteRT too, and with another mode of the original's runtime."""
    compiled = ModeLatency(name="TensorFlow with XLA", latency=material.ANALYSIS.latency)
    finished.analysis.step.result |= {"modes": [compiled.model_dump(mode="json")]}
    finished.analysis.step.save()
    model = material.ANALYSIS.model.model_copy(update={"format": Format.TFLITE})
    again = material.ANALYSIS.model_copy(update={"model": model}).model_dump(mode="json")
    exported._step(finished, "analyse-tflite", StepKind.ANALYSE, parent_key="export-tflite", result=again)
    return finished


def test_every_runtime_and_mode_has_its_row_and_every_export_its_layers(
    client: Client, in_three_runtimes: OptimizationSession, engineer: User
) -> None:
    for name in ("optimization:session-detail", "optimization:report"):
        html = page(client, engineer, name, in_three_runtimes.pk)
        assert "In every runtime" in html
        assert "the same float model in 3 runtimes" in html
        assert '<th scope="row">LiteRT <span class="soft small">exported</span></th>' in html
        assert 'TensorFlow with XLA <span class="soft small">same file, other mode</span>' in html
    assert 'id="exported-layers"' in html
    assert 'id="exported-tflite-layers"' in html
    assert "Layers of the TensorFlow Lite export" in html
    assert "In every runtime" in report_html(report(in_three_runtimes))


WHOSE = "2× from ONNX Runtime, 2× from dynamic int8"


def test_the_gain_of_the_runtime_and_of_the_technique_are_told_apart_wherever_a_gain_stands(
    client: Client, finished: OptimizationSession, engineer: User
) -> None:
    for name, times in (("optimization:session-detail", 1), ("optimization:report", 3)):
        html = page(client, engineer, name, finished.pk)
        assert html.count(WHOSE) == times, "the headline, the table, and the comparison side by side"
        assert "all of it from ONNX Runtime" in html
    assert f"c02: Title of onnx-dynamic-int8; faster: {WHOSE}" in terminal.report(finished)
    told = client.get(f"/api/v1/sessions/{finished.pk}/report/").json()
    assert told["candidates"][1]["evaluation"]["gains"] == exported.BOTH.model_dump(mode="json")
    assert WHOSE in selection.judge(exported.faster_by(4.0, exported.BOTH), Criteria()).reason


def test_the_evaluation_is_told_what_it_is_held_against(finished: OptimizationSession) -> None:
    baseline = {"runtime": "ONNX Runtime", "speedup": 2.0, "size_ratio": 1.0, "in_turns": True}
    SessionStep.objects.filter(key="c02/evaluate").update(parameters={"runtime_baseline": baseline})

    assert arguments_of(step(finished, "c02/evaluate"))["runtime_baseline"] == baseline


def test_an_evaluation_from_before_says_what_the_change_of_the_runtime_is_part_of(
    client: Client, finished: OptimizationSession, engineer: User
) -> None:
    evaluated = finished.candidates.get(key="c02").evaluation
    evaluated.step.result.pop("gains")
    evaluated.step.save()
    html = page(client, engineer, "optimization:report", finished.pk)

    assert 'id="report-runtimes"' in html
    assert 'id="exported-layers"' in html
    assert "every number below includes the gain from the change of runtime" in html
    assert exported.HEADLESS in html
    assert 'id="report-baseline"' in html
    assert "+0.30<br>" in html, "a perplexity that rose is not lost"


def test_the_report_in_the_package_says_the_same(finished: OptimizationSession) -> None:
    html = report_html(report(finished))

    assert "Exported to ONNX" in html
    assert WHOSE in html


def test_the_report_says_how_texts_were_cut_wherever_numbers_stand_on_them(
    client: Client, finished: OptimizationSession, engineer: User
) -> None:
    html = page(client, engineer, "optimization:report", finished.pk)
    told = client.get(f"/api/v1/sessions/{finished.pk}/report/").json()

    assert html.count(exported.CUT) == 3, "the original, and two candidates that were measured on texts"
    assert told["analysis"]["notes"] == [exported.CUT]
    notes = {one["key"]: one["evaluation"]["notes"] for one in told["candidates"] if one["evaluation"]}
    assert notes["c03"] == notes["c04"] == [exported.CUT]
    assert exported.CUT in report_html(report(finished))


def test_what_modules_compute_and_need_stands_in_the_report(
    client: Client, finished: OptimizationSession, engineer: User
) -> None:
    html = page(client, engineer, "optimization:report", finished.pk)
    told = client.get(f"/api/v1/sessions/{finished.pk}/report/").json()

    assert 'data-label="MACs"' in html
    assert {"macs", "parameters"} <= told["analysis"]["layers"][0].keys()
    assert told["analysis"]["generation"] == exported.GENERATION.model_dump(mode="json")
    for analysis in (told["analysis"], *told["exported"]):
        assert analysis["peak_memory_bytes"] > 0
    assert len(told["exported"]) == 1
    lost = next(one for one in told["candidates"] if one["key"] == "c03")["evaluation"]["metrics"][0]
    assert lost["metric"] == "perplexity"
    assert lost["original"]["low"] < lost["original"]["value"] < lost["original"]["high"]


def test_a_language_model_s_analysis_shows_how_fast_it_reads_and_writes(
    client: Client, finished: OptimizationSession, engineer: User
) -> None:
    version = finished.version
    html = page(client, engineer, "models:version-detail", version.model.pk, version.number)

    assert "reading 128 tokens" in html
    assert "308 /s" in html
    assert "shared with the output head" not in html, "the page says it above already"
    facts = page(client, engineer, "optimization:report", finished.pk)
    assert "60.0 k of 100 k parameters, shared with the output head" in facts


def test_a_session_in_one_runtime_says_nothing_of_runtimes(
    client: Client, session: OptimizationSession, engineer: User
) -> None:
    html = page(client, engineer, "optimization:session-detail", session.pk)

    assert "Exported to ONNX" not in html
    assert "<dt>Runtime</dt><dd>ONNX Runtime</dd>" in html


def test_the_api_names_what_runs_a_candidate(client: Client, finished: OptimizationSession, engineer: User) -> None:
    client.force_login(engineer)
    rows = client.get(f"/api/v1/sessions/{finished.pk}/candidates/").json()

    assert {row["key"]: row["runtime"] for row in rows} == {
        "c01": "ONNX Runtime",
        "c02": "ONNX Runtime",
        "c03": "PyTorch",
        "c04": "PyTorch",
    }


# --- the chain -------------------------------------------------------------------------------------------------------


def test_the_page_lists_every_link_with_what_was_checked_of_it(finished: OptimizationSession) -> None:
    for key, sentence in (("export", "The export computes the same."), ("prepare", "The graph is smaller.")):
        row = step(finished, key)
        row.result["checks"] = [sentence]
        row.save()

    html = report_html(report(finished))

    links = [html.index(f"<strong>Title of {name}</strong>") for name in CHAIN]
    checks = [html.index(sentence) for sentence in ("The export computes the same.", "The graph is smaller.")]
    assert links[0] < checks[0] < links[1] < checks[1] < links[2]


def test_the_report_and_the_api_list_the_chain_with_sizes_and_digests(
    finished: OptimizationSession, engineer: User, client: Client
) -> None:
    client.force_login(engineer)
    told = {one.key: one for one in report(finished).candidates}
    answer = client.get(f"/api/v1/sessions/{finished.pk}/candidates/").json()

    assert [link.technique for link in told["c02"].steps] == CHAIN
    assert told["c02"].last.technique == told["c02"].technique
    for one in answer:
        assert one["steps"] == [link.model_dump(mode="json") for link in told[one["key"]].steps]
        assert one["parameters"] == one["steps"][-1]["parameters"]
        assert all(link["size_bytes"] == material.RESULT.size_bytes for link in one["steps"])


def test_a_chain_that_was_not_made_to_its_end_shows_what_was_made(finished: OptimizationSession) -> None:
    step(finished, "c02/optimize").delete()
    finished.steps.filter(key="c02/evaluate").delete()

    links = Lineage(finished).links(finished.candidates.get(key="c02"))

    assert [link.size_bytes for link in links] == [material.RESULT.size_bytes, material.RESULT.size_bytes, None]


def test_a_chain_stays_whole_where_the_files_on_its_way_were_removed(finished: OptimizationSession) -> None:
    finished.steps.filter(key__in=("export", "prepare")).update(artifact=None)

    recipe = Recipe.model_validate(recipe_of(finished).model_dump(mode="json"))
    links = Lineage(finished).links(finished.candidates.get(key="c02"))

    assert [one.technique for one in recipe.steps] == CHAIN
    assert [one.made.size_bytes for one in recipe.steps if one.made] == [material.RESULT.size_bytes] * 2 + [
        len(b"int8")
    ]
    assert all(link.size_bytes == material.RESULT.size_bytes for link in links)
    assert input_format(step(finished, "c02/evaluate")) == Format.ONNX


def test_candidates_of_a_list_are_read_with_a_fixed_number_of_queries(
    finished: OptimizationSession, django_assert_max_num_queries: Any
) -> None:
    rows = finished.candidates.select_related("evaluation__step", "session__version__metadata")

    with django_assert_max_num_queries(2):
        assert len(CandidateSerializer(rows, many=True).data) == 4


# --- rows from before ------------------------------------------------------------------------------------------------


def _as_before(finished: OptimizationSession) -> dict[str, Any]:
    """The plan as it was written when candidates had one link."""
    body = material.PLAN.model_dump(mode="json")
    (one,) = body["candidates"]
    one.pop("steps")
    export = {"title": "Export to ONNX", "technique": "onnx-export", "parameters": {}}
    last = {
        "title": "Dynamic int8: weights int8",
        "technique": "onnx-dynamic-int8",
        "parameters": {"weight_type": "int8"},
    }
    body["candidates"] = [{**one, "key": "c01", **export}, {**one, "key": "c02", **last}]
    finished.steps.filter(key="plan").update(result=body)
    OptimizationSession.objects.filter(pk=finished.pk).update(plan=body)
    return body


def test_the_migration_writes_chains_into_plans_and_leaves_them_readable(finished: OptimizationSession) -> None:
    body = _as_before(finished)
    assert Plan.model_validate(body).candidates[1].title == "Dynamic int8: weights int8"

    steps = {one.key: one for one in finished.steps.all()}
    heads = {key: chains._head(key, steps) for key in ("c01", "c02", "c03")}
    plan = Plan.model_validate(chains._plan(body, heads))

    assert [[link.technique for link in one.steps] for one in plan.candidates] == [["onnx-export"], CHAIN]
    assert [link.title for link in plan.candidates[1].steps[:2]] == ["Export to ONNX", "Graph optimization"]
    assert [link.optional for link in plan.candidates[1].steps] == [False, True, False]
    assert plan.candidates[1].last.variant == "weights int8"
    assert heads["c03"] == []
    assert chains._plan(chains._plan(body, heads), heads) == chains._plan(body, heads)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_database_goes_to_chains_and_back(finished: OptimizationSession) -> None:
    _as_before(finished)
    before = [("optimization", "0012_reports_are_stored_once")]
    executor = MigrationExecutor(connection)
    try:
        executor.migrate(before)
        old = executor.loader.project_state(before).apps.get_model("optimization", "Candidate")
        assert old.objects.get(key="c02").parameters == {}
        old.objects.filter(key="c02").update(parameters={"weight_type": "int8"}, title="Dynamic int8: weights int8")
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    row = finished.candidates.get(key="c02")
    assert [link.technique for link in row.chain] == CHAIN
    assert (row.last.title, row.last.variant) == ("Dynamic int8", "weights int8")
    assert row.last.parameters == {"weight_type": "int8"}
    plan = Plan.model_validate(OptimizationSession.objects.get(pk=finished.pk).plan)
    assert [link.technique for link in plan.candidates[1].steps] == CHAIN
