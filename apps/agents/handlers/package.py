"""The job of a package step."""

from __future__ import annotations

from apps.agents.contracts.criteria import Criteria
from apps.agents.contracts.dataset_spec import DatasetKind, DatasetSpec
from apps.agents.contracts.job import Job, JobResult, OutputFile
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Outcome
from apps.agents.datasets.loading import load_dataset
from apps.agents.handlers.material import Material
from apps.agents.measuring.engine import open_engine
from apps.agents.packaging.examples import PackageExamples, package_examples
from apps.agents.packaging.package import DOCUMENTS, Content, build_package
from apps.agents.sandbox.child import JobContext
from apps.agents.techniques.base import digest_of
from apps.errors import UserError


def run(context: JobContext) -> JobResult:
    """Pack the winner; the file of the role `package` is a zip.

    The result's body has its `digest` and `size_bytes`, and as `finding` why it is not known to run, if it is not.
    Inputs: `model` (the artifact, or the original where that stands), `report_html`, `report_json` and `recipe`, and
    those of `Material`. Arguments: those of `Material`; `criteria`; `filename`, the model's name in the package
    (`model.onnx` unless given); `summary`, what is known of the model; `outcome`, how the session ended;
    `untried`, why its script is not to be run: then the model is not opened either; `headline`, the verdict in a
    sentence.
    """
    job = context.job
    material = Material(job)
    untried = job.arguments.get("untried")
    threads = Criteria.model_validate(job.arguments.get("criteria", {})).target.threads
    context.progress(0.1, "Choosing examples for the package")
    examples, trouble = (None, untried) if untried else _examples(material, threads)
    context.progress(0.4, "Packing the model, its report and its recipe")
    packed = build_package(
        Content(
            model=job.inputs["model"],
            filename=job.arguments.get("filename", "model.onnx"),
            format=material.format,
            documents={role: job.inputs[role] for role in DOCUMENTS},
            examples=examples,
            summary=_summary(job),
            signature=material.signature,
            outcome=_outcome(job),
            threads=threads,
            untried=trouble,
            headline=job.arguments.get("headline"),
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


def _examples(material: Material, threads: int) -> tuple[PackageExamples | None, str | None]:
    """What the package checks itself against, or why there is nothing: no trouble with it costs a proven model."""
    job = material.job
    if "dataset" not in job.inputs:
        return None, None
    spec = DatasetSpec.model_validate(job.arguments["dataset"])
    try:
        engine = open_engine(material.format, material.model, material.scratch, material.signature)
        # Only texts need the original, for its tokenizer; else the packaged model itself declares what it takes.
        encoder = material.original.encoder if spec.kind is DatasetKind.TEXT else None
        dataset = load_dataset(
            job.inputs["dataset"],
            spec,
            engine.summary.inputs,
            job.seed,
            scratch=material.scratch,
            encoder=encoder,
            outputs=engine.summary.outputs,
        )
        return package_examples(engine, dataset, threads, job.seed), None
    except UserError as error:
        return None, f"no examples could be made for it: {error.message.rstrip('.')}"


def _summary(job: Job) -> ModelSummary | None:
    told = job.arguments.get("summary")
    return ModelSummary.model_validate(told) if told else None


def _outcome(job: Job) -> Outcome:
    """As it was said; else the original stands where it is what is packed."""
    unchanged = job.inputs["model"] == job.inputs.get("original")
    return Outcome(job.arguments.get("outcome", Outcome.UNCHANGED if unchanged else Outcome.IMPROVED))
