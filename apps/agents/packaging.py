"""The package that a session hands over: a zip that explains itself and runs without Lathe.

It holds the model, the report for people (HTML) and for machines (JSON), the recipe, a script that runs the model, and
a page of text. The same contents give the same bytes. The script is run once before anything is handed over.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from apps.agents.archives import unpack
from apps.agents.errors import PackageBroken
from apps.agents.formats import Format, Framework, format_spec
from apps.agents.optimization import digest_of
from apps.agents.reports import ModelSummary
from apps.agents.reproducible_zip import write_zip
from apps.agents.runners import open_engine, signed
from apps.agents.sniffing import FileKind, sniff

DOCUMENTS = {"report_html": "report.html", "report_json": "report.json", "recipe": "recipe.json"}
"""Names in the package of what the pipeline has rendered, by the role of the input."""
INPUTS = "inputs.json"
_WITH_INPUTS = (Framework.TORCH, Framework.TENSORFLOW, Framework.LITERT)
"""Frameworks whose files do not say what they take before they are loaded, or offer several functions."""
BACKENDS = Path(__file__).parent / "backends"
FREE_AXES = (1, 8, 64, 1024)
"""Lengths of free axes to try the script with: a model may take only one, and its file does not say which."""
CHECK_TIMEOUT_S = 300.0
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
"""What the script needs beside to open a model that was quantized so."""
_PROMPT = """
  python run.py --prompt "Once upon a time"    the model writes on"""
_INPUTS = """
  inputs.json   what the model takes: names, types, shapes"""


def build_package(
    model: Path,
    filename: str,
    documents: Mapping[str, Path],
    format: str,  # noqa: A002 - the contract's word
    folder: Path,
    out: Path,
    *,
    signature: str | None = None,
) -> Path:
    """Collect everything in `folder`, run the script there, and write `package.zip` to `out`.

    The model is called like `filename` in the package; a zip of a model and its external data is unpacked instead.
    Raises `PackageBroken` with the script's own words when it does not run the model.
    """
    spec = format_spec(format)
    contents = folder / "package"
    contents.mkdir()
    _place_model(model, f"{Path(filename).stem}{spec.suffix}", contents)
    summary = None
    if spec.framework in _WITH_INPUTS:
        summary = open_engine(format, model, folder, signature).summary
        (contents / INPUTS).write_text(_inputs_json(summary), encoding="utf-8")
    for role, name in DOCUMENTS.items():
        shutil.copyfile(documents[role], contents / name)
    shutil.copyfile(BACKENDS / spec.script, contents / "run.py")
    (contents / "README.txt").write_text(_readme(contents, format, summary), encoding="utf-8")
    run_script(contents)
    files = sorted(path for path in contents.rglob("*") if path.is_file())
    return write_zip(
        out / "package.zip", [(file.relative_to(contents).as_posix(), file) for file in files], compress=True
    )


def run_script(contents: Path) -> str:
    """What `run.py` in `contents` prints. Raises `PackageBroken` with the last line of what it says when it fails."""
    reason = ""
    for length in FREE_AXES:
        command = [sys.executable, "-B", "run.py", "--axis", str(length)]
        try:
            done = subprocess.run(
                command, cwd=contents, capture_output=True, text=True, timeout=CHECK_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise PackageBroken(reason=f"it took more than {CHECK_TIMEOUT_S:.0f} s") from error
        if done.returncode == 0:
            return done.stdout
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    raise PackageBroken(reason=reason[:400])


def _place_model(model: Path, name: str, contents: Path) -> None:
    if sniff(model) in _ZIPPED:
        unpack(model, contents / "model")
        _lift_only_folder(contents / "model")
    else:
        shutil.copyfile(model, contents / name)


def _lift_only_folder(folder: Path) -> None:
    """Where an archive holds one folder and nothing else, its contents take its place."""
    inner = list(folder.iterdir())
    if len(inner) == 1 and inner[0].is_dir():
        inner[0].rename(folder.with_name("lifted"))
        folder.rmdir()
        folder.with_name("lifted").rename(folder)


def _inputs_json(summary: ModelSummary) -> str:
    """What the script has to feed, and the function that it calls: few files say it before they are loaded."""
    told: dict[str, Any] = {"inputs": [spec.model_dump(mode="json", exclude_none=True) for spec in summary.inputs]}
    told |= signed(summary.signature)
    return json.dumps(told, indent=1, sort_keys=True)


def _libraries(contents: Path, format: str, summary: ModelSummary | None) -> list[str]:  # noqa: A002
    """Distributions that the script needs: the format's, a quantizer's, and the one that offers the architecture."""
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


def _readme(contents: Path, format: str, summary: ModelSummary | None) -> str:  # noqa: A002
    models = sorted(path for path in contents.rglob("*") if path.is_file() and path.name not in _OWN)
    listed = "\n".join(f"  {path.relative_to(contents)}  SHA-256 {digest_of(path)}" for path in models)
    needed = " ".join(f"{name}=={metadata.version(name)}" for name in _libraries(contents, format, summary))
    generative = summary is not None and summary.language is not None and summary.language.generative
    prompt = _PROMPT if generative and (contents / "model").is_dir() else ""
    inputs = _INPUTS if (contents / INPUTS).exists() else ""
    return f"""An optimized model, measured against its original on the member's own data.

The model
{listed}

Run it
  pip install {needed}
  python run.py                 with random inputs
  python run.py examples.npz    with your own: one array for each input, named as the input{prompt}

What else is here
  report.html   what was measured, against the original, with intervals; open it in a browser
  report.json   the same for programs
  recipe.json   how the model was made; with Lathe installed, this makes it again and compares the bytes:
                python -m apps.agents.recipe recipe.json --model ORIGINAL --dataset DATA --out MODEL{inputs}
"""


_OWN = frozenset((*DOCUMENTS.values(), INPUTS, "run.py", "README.txt"))
