"""The job of a package step."""

from __future__ import annotations

from apps.agents.child import JobContext
from apps.agents.job import JobResult, OutputFile
from apps.agents.optimization import digest_of
from apps.agents.packaging import DOCUMENTS, build_package


def run(context: JobContext) -> JobResult:
    """Pack the winner; the file of the role `package` is a zip, the result's body has its `digest` and `size_bytes`.

    Inputs: `model` (the artifact, or the original where that stands), `report_html`, `report_json` and `recipe`.
    Arguments: `filename`, the model's name in the package (`model.onnx` unless given); `format`, `onnx` unless given;
    `signature`, which function of the original is meant.
    """
    job = context.job
    work = job.scratch / "work"
    work.mkdir(exist_ok=True)
    context.progress(0.1, "Packing the model, its report and its recipe")
    package = build_package(
        job.inputs["model"],
        job.arguments.get("filename", "model.onnx"),
        {role: job.inputs[role] for role in DOCUMENTS},
        job.arguments.get("format", "onnx"),
        work,
        context.out,
        signature=job.arguments.get("signature") if job.inputs["model"] == job.inputs.get("original") else None,
    )
    context.progress(1.0, "Packed, and its script has run the model")
    body = {"digest": digest_of(package), "size_bytes": package.stat().st_size}
    return JobResult(body=body, files=(OutputFile(role="package", path="out/package.zip", filename="package.zip"),))
