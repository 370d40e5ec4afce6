"""The images: what the Dockerfile says, carried out in a clean root file system."""

from __future__ import annotations

import fnmatch
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.deployment.roots import Root

PROJECT = Path(__file__).resolve().parents[2]
PYTHON = "/venv"
"""Where the Python of an image is: in a container it would be the system's."""
_CHECK = """
import sys
from importlib import metadata
pins = dict(line.partition("#")[0].strip().split("==") for line in open(sys.argv[1]) if "==" in line.partition("#")[0])
wrong = {name: version for name, version in pins.items() if metadata.version(name).partition("+")[0] != version}
sys.exit(f"other versions are installed than the lock says: {wrong}" if wrong else 0)
"""


@dataclass
class Image:
    """What one stage of the Dockerfile has made."""

    name: str
    root: Root
    variables: dict[str, str] = field(default_factory=dict)
    user: str = "root"
    folder: str = "/"
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Each stage's name with what it is made from, and its instructions."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", (PROJECT / "Dockerfile").read_text()))
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    name = ""
    for line in (one.strip() for one in text.splitlines() if one.strip()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            source, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
            found[name] = (source, [])
        else:
            found[name][1].append((word, rest.strip()))
    return found


class Builder:
    """Builds images below `folder`. An environment in `installed` replaces pip, if it has what a lock pins."""

    def __init__(self, folder: Path, installed: dict[str, Path]) -> None:
        self._folder, self._installed = folder, installed
        self._stages = stages()

    def build(self, name: str) -> Image:
        image = Image(name, Root.bare(self._folder / name))
        if name in self._installed:
            image.root.mount(self._installed[name], PYTHON)
            # Its scripts name their interpreter by the path at which the environment was made.
            image.root.mount(self._installed[name], str(self._installed[name]))
        else:
            environment = self._folder / f"{name}-python"
            environment.mkdir()
            image.root.mount(environment, PYTHON, writable=True)
            image.root.mount(Path("/opt"), "/opt")
        image.variables = {
            "PATH": f"{PYTHON}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        for instruction, rest in self._instructions(name):
            self._carry_out(image, instruction, rest)
        return image

    def _instructions(self, name: str) -> Iterator[tuple[str, str]]:
        source, own = self._stages[name]
        if source in self._stages:
            yield from self._instructions(source)
        else:
            yield "FROM", source
        yield from own

    def _carry_out(self, image: Image, instruction: str, rest: str) -> None:
        match instruction:
            case "FROM":
                self._python(image, rest)
            case "ENV" | "ARG":
                image.variables |= dict(pair.split("=", 1) for pair in rest.split())
            case "RUN":
                self._run(image, rest)
            case "WORKDIR":
                image.folder = rest
                (image.root.folder / rest[1:]).mkdir(parents=True, exist_ok=True)
            case "COPY":
                self._copy(image, *rest.split())
            case "USER":
                image.user = rest
            case "CMD":
                image.command = json.loads(rest)
            case "HEALTHCHECK":
                image.healthcheck = json.loads(rest.partition("CMD ")[2])
            case "VOLUME" | "EXPOSE":
                pass
            case _:
                raise NotImplementedError(f"the Dockerfile has {instruction}, which is not carried out here")

    def _python(self, image: Image, source: str) -> None:
        version = re.fullmatch(r"python:(3\.\d+)-slim", source)
        assert version, f"{source} is no image of Python"
        if image.name not in self._installed:
            base = next(
                place for place in image.root.mounts if place != "/usr" and place.startswith("/") and "py" in place
            )
            image.root.run([f"{base}/bin/python{version[1]}", "-m", "venv", PYTHON], variables=image.variables)

    def _run(self, image: Image, line: str) -> None:
        if line.startswith("apt-get"):
            print(f"    left out: {line}")
            return
        lock = re.search(r"requirements/[\w-]+\.txt", line)
        if lock and image.name in self._installed:
            print(f"    not installed anew: the environment at hand has every version of {lock[0]}")
            words = ["python", "-c", _CHECK, lock[0]]
        else:
            words = ["sh", "-euc", line]
        # No index but those that this machine is set up for.
        words[-1] = words[-1].replace('--extra-index-url "$TORCH_INDEX" ', "")
        image.root.run(words, variables=image.variables, folder=image.folder)

    def _copy(self, image: Image, source: str, target: str) -> None:
        place = image.root.folder / image.folder[1:] / target
        for path in context():
            if source == "." or path == source:
                file = place / path if source == "." else place / Path(path).name
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / path, file)


def context() -> list[str]:
    """The files that are sent to the builder: those of the repository that .dockerignore leaves in."""
    command = ["git", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    ignored = (PROJECT / ".dockerignore").read_text().split()
    return [path for path in listed.split("\0") if path and not _matches(path, ignored) and (PROJECT / path).exists()]


def _matches(path: str, patterns: list[str]) -> bool:
    parts = Path(path).parts
    heads = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    return any(
        fnmatch.fnmatch(head, pattern) or (pattern.startswith("**/") and fnmatch.fnmatch(Path(head).name, pattern[3:]))
        for pattern in patterns
        for head in heads
    )
