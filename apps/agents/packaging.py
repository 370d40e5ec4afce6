"""The package that a session hands over: a zip that explains itself and runs without Lathe.

It holds the model, the report for people (HTML) and for machines (JSON), the recipe, a script that runs the model, and
a page of text. The same contents give the same bytes. The script is run once before anything is handed over.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from apps.agents.archives import unpack
from apps.agents.errors import PackageBroken
from apps.agents.formats import format_spec
from apps.agents.optimization import digest_of
from apps.agents.reproducible_zip import write_zip
from apps.agents.sniffing import FileKind, sniff

DOCUMENTS = {"report_html": "report.html", "report_json": "report.json", "recipe": "recipe.json"}
"""Names in the package of what the pipeline has rendered, by the role of the input."""
BACKENDS = Path(__file__).parent / "backends"
FREE_AXES = (1, 8, 64, 1024)
"""Lengths of free axes to try the script with: a model may take only one, and its file does not say which."""
CHECK_TIMEOUT_S = 300.0
_ZIPPED = (FileKind.ONNX_ZIP, FileKind.ZIP)


def build_package(
    model: Path,
    filename: str,
    documents: Mapping[str, Path],
    format: str,  # noqa: A002 - the contract's word
    folder: Path,
    out: Path,
) -> Path:
    """Collect everything in `folder`, run the script there, and write `package.zip` to `out`.

    The model is called like `filename` in the package; a zip of a model and its external data is unpacked instead.
    Raises `PackageBroken` with the script's own words when it does not run the model.
    """
    spec = format_spec(format)
    contents = folder / "package"
    contents.mkdir()
    _place_model(model, f"{Path(filename).stem}{spec.suffix}", contents)
    for role, name in DOCUMENTS.items():
        shutil.copyfile(documents[role], contents / name)
    shutil.copyfile(BACKENDS / spec.script, contents / "run.py")
    (contents / "README.txt").write_text(_readme(contents, format), encoding="utf-8")
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
    else:
        shutil.copyfile(model, contents / name)


def _readme(contents: Path, format: str) -> str:  # noqa: A002
    models = sorted(path for path in contents.rglob("*") if path.is_file() and path.name not in _OWN)
    listed = "\n".join(f"  {path.relative_to(contents)}  SHA-256 {digest_of(path)}" for path in models)
    needed = " ".join(f"{name}=={metadata.version(name)}" for name in format_spec(format).libraries)
    return f"""An optimized model, measured against its original on the member's own data.

The model
{listed}

Run it
  pip install {needed}
  python run.py                 with random inputs
  python run.py examples.npz    with your own: one array for each input, named as the input

What else is here
  report.html   what was measured, against the original, with intervals; open it in a browser
  report.json   the same for programs
  recipe.json   how the model was made; with Lathe installed, this makes it again and compares the bytes:
                python -m apps.agents.recipe recipe.json --model ORIGINAL --dataset DATA --out MODEL
"""


_OWN = frozenset((*DOCUMENTS.values(), "run.py", "README.txt"))
