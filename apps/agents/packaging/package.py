"""The package that a session delivers: a zip that explains itself and runs without Lathe.

It contains the model with its card, the report for people (HTML) and for programs (JSON), the recipe, a script that
runs the model, a few examples with the outputs that the script must give for them, a README, and a bill of materials
with the digests of all these. The same contents give the same bytes. The script is run once before the package is
delivered. If that fails, the package says so.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from apps.agents.contracts.formats import Format, Framework, format_spec
from apps.agents.contracts.reports.card import ModelCard
from apps.agents.contracts.reports.model import ModelSummary
from apps.agents.contracts.state import Outcome
from apps.agents.files.archives import unpack
from apps.agents.files.reproducible_zip import seal, write_zip
from apps.agents.files.sniffing import FileKind, sniff
from apps.agents.measuring.engine import open_engine, signed
from apps.agents.measuring.machine import requirement
from apps.agents.packaging import card
from apps.agents.packaging.bom import evidence_bom
from apps.agents.packaging.compression import compress_models
from apps.agents.packaging.examples import PackageExamples, write_arrays
from apps.agents.sandbox.programs import run_to_end

DOCUMENTS = {"report_html": "report.html", "report_json": "report.json", "recipe": "recipe.json"}
"""The documents that the pipeline renders: their names in the package, by the role of the input."""
INPUTS, REQUIREMENTS, EXAMPLES, EXPECTED = "inputs.json", "requirements.txt", "examples.npz", "expected.npz"
README, CARD, EVIDENCE = "README.txt", card.FILENAME, "evidence.cdx.json"
_WITH_INPUTS = (Framework.TORCH, Framework.TENSORFLOW, Framework.LITERT)
"""Frameworks whose files do not show their inputs before they are loaded, or may have several functions."""
SCRIPT = Path(__file__).parent / "script.py"
BACKENDS = Path(__file__).parents[1] / "backends"
CHECK_TIMEOUT_S = 120.0
_ZIPPED = (
    FileKind.ONNX_ZIP,
    FileKind.TRANSFORMERS_ZIP,
    FileKind.STATE_DICT_ZIP,
    FileKind.SAVED_MODEL_ZIP,
    FileKind.ZIP,
)
_QUANTIZERS = {
    "bitsandbytes": ("accelerate", "bitsandbytes"),
    "compressed-tensors": ("accelerate", "compressed-tensors"),
    "torchao": ("accelerate", "torchao"),
}
"""By quantization: the additional distributions that the script needs to open such a model."""
_PROMPT = """
  python run.py --prompt "Once upon a time"    the model continues it"""
_INPUTS = """
  inputs.json   what the model takes: names, types, shapes"""
_IMPROVED = "An optimized model, measured against its original on the member's own data."
_UNCHANGED = "The original model, unchanged: nothing better was found within the limits. The report says why."
_NOT_MEASURED = (
    "The original model. No candidate was measured, so it is not known whether one is better.\n"
    "The report says why and what to do."
)
_INCONCLUSIVE = (
    "The original model. A candidate may be better, but the machine was too busy to time it.\n"
    "The report says how many runs were disturbed and what to do."
)
_OPENINGS = {
    Outcome.IMPROVED: _IMPROVED,
    Outcome.UNCHANGED: _UNCHANGED,
    Outcome.NOT_MEASURED: _NOT_MEASURED,
    Outcome.INCONCLUSIVE: _INCONCLUSIVE,
}


@dataclass(frozen=True)
class Content:
    """What goes into a package."""

    model: Path
    filename: str
    """The name of the model's file in the package. A zip is unpacked instead."""
    format: str
    documents: Mapping[str, Path]
    card: ModelCard
    examples: PackageExamples | None = None
    summary: ModelSummary | None = None
    """The model as inspection described it. Without it, the model is opened if the script needs its description."""
    signature: str | None = None
    """The function to use, if the format can hold several."""
    outcome: Outcome = Outcome.IMPROVED
    """How the session ended. Unless it improved the model, `model` is its original."""
    threads: int = 1
    untried: str | None = None
    """Why the script must not be run or cannot be tried, in a sentence."""
    headline: str | None = None
    """The session's verdict in one sentence, without a full stop."""
    student: str | None = None
    """The name of the session's student as it was uploaded, if the recipe needs it."""
    compressed: bool = False
    """Whether the compressed size counts, so that the model's files are as small as either coding makes them."""


@dataclass(frozen=True)
class Packed:
    """The zip. `finding`: why its script was not proven to run the model, in a sentence; `None` if it was."""

    path: Path
    finding: str | None


def build_package(content: Content, folder: Path, out: Path) -> Packed:
    """Collect everything in `folder`, run the script there, and write `package.zip` to `out`.

    If the script fails, or its outputs differ from the measured ones, the package is delivered with this finding.
    """
    contents = folder / "package"
    contents.mkdir()
    _place_model(content.model, f"{Path(content.filename).stem}{format_spec(content.format).suffix}", contents)
    models = _files_in(contents)
    small = compress_models(models) if content.compressed else {}
    summary = _place_inputs(content, folder)
    needed = _place_documents(content, contents, summary, further=["zstandard"] if small else [])
    carried = _place_examples(content.examples, contents, folder)
    listed = "\n".join(_listed(contents, models, small))
    for file in small:
        file.unlink()  # The script restores it.
    # Listed before the script runs, because a model may write files.
    written = _files_in(contents)
    finding = content.untried or _tried(contents, carried) or (content.examples.finding if content.examples else None)
    finding = finding.rstrip(".") if finding else None
    (contents / README).write_text(_readme(contents, content, listed, summary, needed, finding), encoding="utf-8")
    (contents / CARD).write_text(card.model_card(content.card, finding), encoding="utf-8")
    files = {path.relative_to(contents).as_posix(): path for path in [*written, contents / README, contents / CARD]}
    bom = evidence_bom(content.card, files, needed, card.warnings_of(content.card, finding))
    (contents / EVIDENCE).write_text(bom, encoding="utf-8")
    entries = sorted({**files, EVIDENCE: contents / EVIDENCE}.items())
    packed = write_zip(out / "package.zip", entries, compress=True)
    seal(packed)
    return Packed(packed, finding)


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _place_inputs(content: Content, folder: Path) -> ModelSummary | None:
    """Describes the inputs in the package if the script needs that. Returns the summary that it is from."""
    spec = format_spec(content.format)
    if spec.framework not in _WITH_INPUTS:
        return None
    summary = content.summary or open_engine(content.format, content.model, folder, content.signature).summary
    (folder / "package" / INPUTS).write_text(_inputs_json(summary), encoding="utf-8")
    return summary


def _listed(contents: Path, models: list[Path], small: dict[Path, Path]) -> Iterator[str]:
    """A line for each file of the model, and one for each that is in the package in Zstandard only."""
    yield from (f"  {path.relative_to(contents)}" for path in models)
    for file, packed in small.items():
        before, after = file.stat().st_size, packed.stat().st_size
        yield f"  {packed.name} is {file.name} in Zstandard: {after:,} bytes instead of {before:,}; run.py restores it"


def _place_documents(
    content: Content, contents: Path, summary: ModelSummary | None, further: Iterable[str]
) -> list[str]:
    """Writes the documents, the scripts and what they need, `further` libraries too: as `name==version`."""
    for role, name in DOCUMENTS.items():
        shutil.copyfile(content.documents[role], contents / name)
    shutil.copyfile(SCRIPT, contents / "run.py")
    shutil.copyfile(BACKENDS / format_spec(content.format).script, contents / "runtime.py")
    libraries = [*_libraries(contents, content.format, summary), *further]
    needed = [requirement(name) for name in libraries]
    (contents / REQUIREMENTS).write_text("".join(f"{need}\n" for need in needed), encoding="utf-8")
    return needed


def _place_examples(examples: PackageExamples | None, contents: Path, folder: Path) -> Path | None:
    """Writes the examples to the package, or next to it if they are too large. Returns their file, if there are any."""
    if examples is None:
        return None
    place = (contents if examples.carried else folder) / EXAMPLES
    write_arrays(place, examples.inputs)
    if examples.carried and examples.expected:
        write_arrays(contents / EXPECTED, examples.expected)
    return place


def _tried(contents: Path, examples: Path | None) -> str | None:
    """Runs the script on the examples. Returns why it does not reproduce the measured outputs, or `None` if it does."""
    if examples is None:
        return "there are no examples to try it on"
    return failure_of_script(contents, *([] if examples.parent == contents else [str(examples)]))


def failure_of_script(contents: Path, *arguments: str) -> str | None:
    """Why `run.py` in `contents` fails, from the last line of its output; `None` if it does not fail."""
    ended = run_to_end([sys.executable, "-B", "run.py", *arguments], folder=contents, limit_s=CHECK_TIMEOUT_S)
    if ended.well:
        return None
    if ended.overdue:
        return f"its script {ended.reason}"
    words = ended.last_words
    # The check's sentence comes before the one on versions.
    line = next((line for line in words if line.startswith("Other outputs")), words[-1] if words else "")
    return f"its script failed: {line[:400] or f'exit status {ended.exit_code}'}".rstrip(".")


def _place_model(model: Path, name: str, contents: Path) -> None:
    if sniff(model) in _ZIPPED:
        unpack(model, contents / "model")
        _lift_only_folder(contents / "model")
    else:
        shutil.copyfile(model, contents / name)


def _lift_only_folder(folder: Path) -> None:
    """If an archive contains only one folder, replaces the folder by its contents."""
    inner = list(folder.iterdir())
    if len(inner) == 1 and inner[0].is_dir():
        inner[0].rename(folder.with_name("lifted"))
        folder.rmdir()
        folder.with_name("lifted").rename(folder)


def _inputs_json(summary: ModelSummary) -> str:
    """The model's inputs and the function to call, as JSON. Few files show them before they are loaded."""
    inputs: dict[str, Any] = {"inputs": [spec.model_dump(mode="json", exclude_none=True) for spec in summary.inputs]}
    inputs |= signed(summary.signature)
    return json.dumps(inputs, indent=1, sort_keys=True)


def _libraries(contents: Path, format: str, summary: ModelSummary | None) -> list[str]:  # noqa: A002
    """The distributions that the script needs: for the format, the quantization, and the architecture."""
    names = list(format_spec(format).libraries)
    if summary and summary.quantization:
        names += _QUANTIZERS.get(summary.quantization.split()[0], ())
    if format == Format.STATE_DICT:
        names.append("safetensors")
        description = tomllib.loads(next(contents.rglob("lathe.toml")).read_text(encoding="utf-8"))
        architecture = description.get("architecture", "")
        if architecture.startswith("transformers/"):
            names.append("transformers")
        points = metadata.entry_points(group="lathe.architectures", name=architecture)
        names += [point.dist.name for point in points if point.dist is not None]
    return names


def _readme(
    contents: Path,
    content: Content,
    listed: str,
    summary: ModelSummary | None,
    needed: list[str],
    finding: str | None,
) -> str:
    generative = summary is not None and summary.language is not None and summary.language.generative
    prompt = _PROMPT if generative and (contents / "model").is_dir() else ""
    inputs = _INPUTS if (contents / INPUTS).exists() else ""
    carried = (contents / EXAMPLES).exists()
    check = "\n  python run.py                 on the examples of the package, compared with what was measured"
    verdict = f"\n{content.headline}." if content.headline else ""
    return f"""{_OPENINGS[content.outcome]}{verdict}{_found(finding)}

The model
{listed}

Run it, with Python {platform.python_version()} or another version for which these have wheels
  pip install -r requirements.txt     {" ".join(needed)}{check if carried else ""}
  python run.py mine.npz        on your own data: one array for each input, with the input's name
  python run.py --bench --threads {content.threads}    and time it{prompt}

What else is here
  {CARD}  what the model is, where it is from, what was measured, and its limits
  {EVIDENCE}  the same for programs (CycloneDX), with the SHA-256 of every file; with lathe-client installed,
                `lathe verify PACKAGE.zip` compares them
  report.html   what was measured, against the original, with intervals; open it in a browser
  report.json   the same for programs
  recipe.json   how the model was made; with Lathe installed, this makes it again and compares the bytes:
                python -m apps.agents.recipe recipe.json --model ORIGINAL --dataset DATA --out MODEL{_student(content)}
  runtime.py    what run.py needs of the model's framework{inputs}{_examples_in_words(content.examples)}
"""


def _student(content: Content) -> str:
    """The rest of the recipe's command, if a step has trained the session's student."""
    if content.student is None:
        return ""
    return f" --student STUDENT\n                STUDENT is the model that was given to be trained, {content.student}"


def _found(finding: str | None) -> str:
    if finding is None:
        return ""
    return f"\n\nThe package was not proven to run before it was delivered: {finding}."


def _examples_in_words(examples: PackageExamples | None) -> str:
    """Lines about the examples in the package; empty if there are none."""
    if examples is None or not examples.carried:
        return ""
    number = f"{examples.rows} example{'s' * (examples.rows != 1)}"
    whose = f"{number} of the data set" if examples.own else f"{number} drawn from the ranges of the data set's numbers"
    outputs = "\n  expected.npz  the model's outputs for them, as measured" if examples.expected else ""
    return f"\n  examples.npz  {whose}{outputs}"
