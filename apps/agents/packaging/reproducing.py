"""Makes an artifact again from its recipe.

    python -m apps.agents.recipe recipe.json --model original.onnx --dataset data.npz --out model.onnx

If a step has trained the session's student, the recipe also needs that file: `--student student.pt2`.

It follows the recipe in child processes, as a worker does, and reports whether the bytes are the same. Exit status: 0
if they are; 1 if they differ (it lists the library versions that differ); 2 if the recipe could not be followed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from apps.agents.contracts.chain import MODEL, ORIGINAL, STUDENT
from apps.agents.contracts.errors.techniques import RecipeInvalid
from apps.agents.contracts.job import Event
from apps.agents.contracts.reports.recipe import Recipe, RecipeStep
from apps.agents.contracts.state import StepKind, StepRequest
from apps.agents.contracts.step_jobs import StepFacts, job_for
from apps.agents.files.digest import digest_of
from apps.agents.measuring.machine import installed_versions
from apps.agents.measuring.protocol import ModelFile
from apps.agents.sandbox.process import JobFailed, run_job
from apps.agents.techniques.artifact_format import format_after
from apps.errors import UserError

SAME, OTHER, NOT_FOLLOWED = 0, 1, 2


@dataclass(frozen=True)
class Reproduction:
    """The result of following a recipe: the digest of the new artifact, and the recipe's."""

    digest: str
    expected: str
    differing: tuple[str, ...]
    """Libraries with different versions here: `onnx 1.23.2, here 1.22.0`."""

    @property
    def same(self) -> bool:
        return self.digest == self.expected


def read_recipe(path: Path) -> Recipe:
    """Reads the recipe in a file. Raises `RecipeInvalid` with the first problem."""
    try:
        return Recipe.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecipeInvalid(reason=f"{path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecipeInvalid(reason=f"{where}: {first['msg']}") from error


def follow(
    recipe: Recipe,
    model: Path,
    dataset: Path,
    out: Path,
    on_event: Callable[[Event], None],
    student: Path | None = None,
) -> Reproduction:
    """Make the artifact of `recipe` again, at `out`. `student` is needed if a step reads the session's.

    Raises `RecipeInvalid` if the files are not those of the recipe, and `JobFailed` if a step fails.
    """
    if not recipe.steps or recipe.artifact is None:
        raise RecipeInvalid(reason="it does not have steps, because the original was kept unchanged")
    _same_file("original", model, recipe.original.sha256)
    _same_file("data set", dataset, recipe.dataset.sha256)
    with tempfile.TemporaryDirectory(prefix="recipe-") as folder:
        last = original = ModelFile(format=recipe.original.format, path=model)
        made = {ORIGINAL: original, **_student(recipe, student)}
        for number, step in enumerate(recipe.steps):
            scratch = Path(folder) / str(number)
            scratch.mkdir()
            models = {MODEL: last, **{role: _made_before(made, key) for role, key in step.inputs.items()}}
            path = _made(recipe, step, models, {ORIGINAL: model, "dataset": dataset}, scratch, on_event)
            last = ModelFile(format=format_after(models[MODEL].format, [step.technique]), path=path)
            made[step.key] = last
        shutil.copyfile(last.path, out)
    return Reproduction(digest_of(out), recipe.artifact.sha256, differing_libraries(recipe))


def _student(recipe: Recipe, path: Path | None) -> dict[str, ModelFile]:
    """The session's student by its role, if the recipe has one."""
    if recipe.student is None:
        return {}
    if path is None:
        raise RecipeInvalid(reason="a step trains the session's student; name its file as --student")
    _same_file("student", path, recipe.student.sha256)
    return {STUDENT: ModelFile(format=recipe.student.format, path=path)}


def _made_before(made: Mapping[str, ModelFile], key: str) -> ModelFile:
    if key not in made:
        raise RecipeInvalid(reason=f"a step reads what the step {key!r} made, and no step before it has that key")
    return made[key]


def differing_libraries(recipe: Recipe) -> tuple[str, ...]:
    """The libraries that steps ran with and that have another version here, or are missing."""
    recorded = {name: version for step in recipe.steps for name, version in step.libraries.items()}
    here = installed_versions(recorded)
    return tuple(
        f"{name} {version}, here {here.get(name, 'none')}"
        for name, version in sorted(recorded.items())
        if here.get(name) != version
    )


def _made(
    recipe: Recipe,
    step: RecipeStep,
    models: Mapping[str, ModelFile],
    files: Mapping[str, Path],
    scratch: Path,
    on_event: Callable[[Event], None],
) -> Path:
    """Runs `step` on the `models`, by role. Returns the path of the artifact."""
    request = StepRequest(
        key=step.key or step.technique,
        kind=StepKind.OPTIMIZE,
        queue="cpu",
        reason="The recipe is followed.",
        technique=step.technique,
        parameters=step.parameters,
    )
    facts = StepFacts(
        seed=step.seed,
        threads=recipe.threads_used,
        original_format=recipe.original.format,
        format=models[MODEL].format,
        inputs={role: one.format for role, one in models.items() if role != MODEL},
        signature=recipe.original.signature,
        dataset=recipe.dataset.spec,
        batch_divisor=step.batch_divisor,
    )
    inputs = {**files, **{role: one.path for role, one in models.items()}}
    job = job_for(request, facts, scratch=scratch, inputs=inputs)
    result = run_job(job, on_event=on_event, should_stop=lambda: False)
    return scratch / result.files[0].path


def _same_file(what: str, path: Path, expected: str) -> None:
    if not path.is_file():
        raise RecipeInvalid(reason=f"there is no {what} at {path}")
    found = digest_of(path)
    if found != expected:
        raise RecipeInvalid(reason=f"the {what} at {path} is another file: {found[:12]}…, expected {expected[:12]}…")


# --- the command ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apps.agents.recipe", description="Make an artifact again.")
    parser.add_argument("recipe", type=Path, help="recipe.json of a package")
    parser.add_argument("--model", type=Path, required=True, help="the original model's file, as it was uploaded")
    parser.add_argument("--dataset", type=Path, required=True, help="the data set's file, as it was uploaded")
    parser.add_argument("--student", type=Path, help="the student's file, as it was uploaded, if a step trained it")
    parser.add_argument("--out", type=Path, required=True, help="where the artifact goes")
    given = parser.parse_args(arguments)
    try:
        followed = follow(read_recipe(given.recipe), given.model, given.dataset, given.out, _tell, given.student)
    except (UserError, JobFailed) as error:
        print(f"Not followed: {error.message}", file=sys.stderr)
        return NOT_FOLLOWED
    print(f"{given.out}: SHA-256 {followed.digest}")
    if followed.same:
        print("The same bytes as in the recipe.")
        return SAME
    print(f"Other bytes than in the recipe: {followed.expected} was expected.")
    print("Other versions: " + ("; ".join(followed.differing) or "none, so the machine makes the difference."))
    return OTHER


def _tell(event: Event) -> None:
    if message := getattr(event, "message", None):
        print(message, file=sys.stderr)
