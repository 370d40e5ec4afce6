"""The job of a package step."""

from __future__ import annotations

from pathlib import Path

from apps.agents.contracts.criteria import CountedSize
from apps.agents.contracts.job import JobResult, OutputFile
from apps.agents.contracts.job_arguments import PackageArguments
from apps.agents.contracts.reports.card import ModelCard
from apps.agents.contracts.reports.recipe import Recipe
from apps.agents.datasets.loading import load_dataset
from apps.agents.files.digest import digest_of
from apps.agents.handlers.material import Material
from apps.agents.packaging.examples import PackageExamples, package_examples
from apps.agents.packaging.package import DOCUMENTS, Content, build_package
from apps.agents.sandbox.child import JobContext
from apps.errors import UserError


def run(context: JobContext) -> JobResult:
    """Pack the session's result. The file with the role `package` is a zip.

    The result's body has its `digest` and `size_bytes`, and in `finding` why it was not proven to run, or `None`. The
    inputs are `model` (the artifact, or the original if that stands), `report_html`, `report_json`, `recipe`, `card`
    (a `ModelCard`), and those of `Material`. The arguments are `PackageArguments`.
    """
    job, arguments = context.job, PackageArguments.of(context.job)
    material = Material(job, arguments)
    untried, threads = arguments.untried, arguments.criteria.target.threads
    context.progress(0.1, "Choosing examples for the package")
    examples, trouble = (None, untried) if untried else _examples(material, threads)
    context.progress(0.4, "Packing the model, its report and its recipe")
    packed = build_package(
        Content(
            model=job.inputs["model"],
            filename=arguments.filename,
            format=material.format,
            documents={role: job.inputs[role] for role in DOCUMENTS},
            card=ModelCard.model_validate_json(job.inputs["card"].read_bytes()),
            examples=examples,
            summary=arguments.summary,
            signature=material.signature,
            outcome=arguments.outcome,
            threads=threads,
            untried=trouble,
            headline=arguments.headline,
            student=_student(job.inputs["recipe"]),
            compressed=arguments.criteria.counted_size is CountedSize.COMPRESSED,
        ),
        material.scratch,
        context.out,
    )
    if packed.finding:
        context.log(f"The package is not proven to run: {packed.finding}.", "warning")
    context.progress(1.0, "Packed" if packed.finding else "Packed, and its script has run the model")
    body = {
        "digest": digest_of(packed.path),
        "size_bytes": packed.path.stat().st_size,
        "finding": packed.finding,
    }
    return JobResult(body=body, files=(OutputFile(role="package", path="out/package.zip", filename="package.zip"),))


def _student(recipe: Path) -> str | None:
    """The name of the student's file, if following the recipe takes it."""
    record = Recipe.model_validate_json(recipe.read_bytes()).student
    return None if record is None else record.filename or "as it was uploaded"


def _examples(material: Material, threads: int) -> tuple[PackageExamples | None, str | None]:
    """The examples with which the package checks itself, or why there are none. An error here must not fail the step,
    because the model is already proven."""
    job = material.job
    if "dataset" not in job.inputs:
        return None, None
    spec = material.arguments.dataset
    try:
        engine = material.open(material.file)
        dataset = load_dataset(
            job.inputs["dataset"],
            spec,
            engine.summary.inputs,
            job.seed,
            scratch=material.scratch,
            encoder=material.encoder,
            outputs=engine.summary.outputs,
        )
        return package_examples(engine, dataset, threads, job.seed), None
    except UserError as error:
        return None, f"no examples could be made for it: {error.message.rstrip('.')}"
