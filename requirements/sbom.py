"""What the images contain: `make sbom` writes a bill of materials (CycloneDX 1.6) for each lock into build/sbom.

Versions come from the locks, and licences from licences.toml beside them: a package that is not listed there, or whose
licence is not among those that are accepted, stops this program. `--add` writes what the metadata of installed packages
says about new ones into that file, for a person to read.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from license_expression import ExpressionError, get_spdx_licensing
from packageurl import PackageURL

FOLDER = Path(__file__).resolve().parent
IMAGES = ("web", "worker-cpu", "worker-gpu")
LICENCES = FOLDER / "licences.toml"
HEAD = """\
# The licence of every package in the images, as an SPDX expression. A test compares it with the locks, and with what
# the packages declare. If one is new: `.venv/bin/python requirements/sbom.py --add`, and read what it has written.

"""
ACCEPTED = frozenset(
    (
        *(
            "0BSD",
            "Apache-2.0",
            "BSD-2-Clause",
            "BSD-3-Clause",
            "BSL-1.0",
            "CC0-1.0",
            "ISC",
            "MIT",
            "MIT-0",
            "CNRI-Python",
        ),
        *("MIT-CMU", "HPND", "MPL-2.0", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib", "LLVM-exception"),
        *("LGPL-3.0-only", "LGPL-3.0-or-later"),
        # Of fonts: a document may embed them, whatever its own licence.
        *("OFL-1.1", "Ubuntu-font-1.0"),
    )
)
"""Licences under which the images may be passed on: permissive ones, and those whose terms end at their own files."""
NOT_OF_OURS = frozenset({"LicenseRef-NVIDIA-Proprietary"})
"""Accepted in the image for accelerators only, which may be passed on within NVIDIA's terms."""
_DECLARED = {
    "apache": "Apache-2.0",
    "mit": "MIT",
    "isc": "ISC",
    "mozilla": "MPL-2.0",
    "mpl": "MPL-2.0",
    "lgpl": "LGPL-3.0-or-later",
    "bsd": "BSD-3-Clause",
    "nvidia": "LicenseRef-NVIDIA-Proprietary",
}
"""What words of older metadata mean. Which BSD licence it is, they do not say."""
LONGEST_NAME = 40
"""Characters. Some packages write the whole text of their licence where its name should be."""
_spdx = get_spdx_licensing()


def locked(image: str) -> dict[str, str]:
    """Versions by package."""
    lines = (line.partition("#")[0].strip() for line in (FOLDER / f"{image}.txt").read_text().splitlines())
    return dict(line.split("==") for line in lines if line)


def licences() -> dict[str, str]:
    found: dict[str, str] = tomllib.loads(LICENCES.read_text())["licences"]
    return found


def parts(expression: str) -> frozenset[str]:
    """The licences and exceptions that an SPDX expression names. Raises `ExpressionError`."""
    return frozenset(str(key) for key in _spdx.license_keys(_spdx.parse(expression, validate=False)))


def refused(image: str, known: Mapping[str, str]) -> dict[str, str]:
    """Packages of an image whose licence is unknown or not accepted there, each with the reason."""
    accepted = ACCEPTED | (NOT_OF_OURS if image == "worker-gpu" else frozenset())
    found = {}
    for package in locked(image):
        if package not in known:
            found[package] = "its licence is not in licences.toml"
        elif strangers := _strangers(known[package], accepted):
            found[package] = f"{', '.join(sorted(strangers))} is not accepted in the image {image}"
    return found


def _strangers(expression: str, accepted: frozenset[str]) -> frozenset[str]:
    """What is not accepted of an expression. Of plain alternatives one is enough; of a nested expression, all of it."""
    alternatives = [expression] if "(" in expression else expression.split(" OR ")
    return min((parts(way) - accepted for way in alternatives), key=len)


def declared(package: str) -> str | None:
    """The licence in the metadata of an installed package, as an expression or as its words; `None` without either."""
    try:
        told = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    classifiers = [one.rpartition("::")[2].strip() for one in told.get_all("Classifier", ()) if one.startswith("Lic")]
    (expression,) = told.get_all("License-Expression") or [""]
    (text,) = told.get_all("License") or [""]
    return expression or (text.strip() if len(text) < LONGEST_NAME else "") or "; ".join(classifiers) or None


def read(words: str) -> str:
    """A declaration as an expression: itself, if it is one, or what its words mean. Raises `ExpressionError`."""
    try:
        _spdx.parse(words, validate=True)
    except ExpressionError:
        meant = dict.fromkeys(spdx for word, spdx in _DECLARED.items() if re.search(rf"\b{word}", words.lower()))
        if not meant:
            raise
        return " AND ".join(meant)
    return words


def bill_of(image: str, known: Mapping[str, str]) -> str:
    """The bill of materials of an image as JSON."""
    bom = Bom()
    bom.metadata.component = Component(name=f"lathe-{image}", type=ComponentType.CONTAINER, bom_ref=image)
    for package, version in locked(image).items():
        purl = PackageURL("pypi", name=package, version=version)
        expression = LicenseExpression(known[package])
        bom.components.add(
            Component(name=package, version=version, purl=purl, bom_ref=str(purl), licenses=[expression])
        )
    bom.register_dependency(bom.metadata.component, bom.components)
    return str(JsonV1Dot6(bom).output_as_string(indent=2))


def add(known: Mapping[str, str], packages: Iterable[str]) -> dict[str, str]:
    """`known` and, for packages that are not in it, what they declare. Without a declaration they stay unknown."""
    found = dict(known)
    for package in packages:
        if package not in found and (words := declared(package)) is not None:
            found[package] = read(words)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--add", action="store_true", help="add the licences that new packages declare")
    parser.add_argument("--output", type=Path, default=FOLDER.parent / "build" / "sbom")
    options = parser.parse_args()
    known = licences()
    if options.add:
        known = add(known, {package for image in IMAGES for package in locked(image)})
        lines = (f'{package} = "{expression}"\n' for package, expression in sorted(known.items()))
        LICENCES.write_text(f"{HEAD}[licences]\n{''.join(lines)}")
    problems = {f"{image}: {name}": why for image in IMAGES for name, why in refused(image, known).items()}
    if problems:
        sys.exit("\n".join(f"{where}: {why}." for where, why in problems.items()))
    options.output.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        file = options.output / f"{image}.cdx.json"
        file.write_text(bill_of(image, known))
        print(f"{file}: {len(locked(image))} packages")


if __name__ == "__main__":
    main()
