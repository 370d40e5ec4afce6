"""Every package of the images has a licence that is known and accepted, and the one that it declares itself."""

from __future__ import annotations

import json
import re
from importlib import metadata

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from requirements import sbom

KNOWN = sbom.licences()


@pytest.mark.parametrize("image", sbom.IMAGES)
def test_no_unknown_or_refused_licence_is_in_an_image(image):
    assert sbom.refused(image, KNOWN) == {}


def test_what_the_list_has_is_in_an_image():
    assert KNOWN.keys() == {package for image in sbom.IMAGES for package in sbom.locked(image)}


def test_a_package_without_a_licence_or_with_another_one_would_be_found():
    (first, second, *_) = sbom.locked("web")
    changed = dict.fromkeys(sbom.locked("web"), "MIT") | {first: "AGPL-3.0-only"}
    del changed[second]
    found = sbom.refused("web", changed)
    assert found == {
        first: "AGPL-3.0-only is not accepted in the image web",
        second: "its licence is not in licences.toml",
    }
    assert sbom.refused("web", dict.fromkeys(sbom.locked("web"), "AGPL-3.0-only OR MIT")) == {}
    assert sbom.refused("worker-cpu", dict.fromkeys(sbom.locked("worker-cpu"), "LicenseRef-NVIDIA-Proprietary"))


def family(words: str) -> set[str]:
    """Which families of licences are named, as older metadata says no more."""
    names = (
        "apache",
        "bsd",
        "mit",
        "isc",
        "mozilla|mpl",
        "lgpl|lesser",
        "nvidia",
        "python|psf",
        "ofl",
        "unlicense",
        "zlib",
    )
    return {name for name in names if re.search(rf"(?<![a-z])({name})", words.lower())}


@pytest.mark.parametrize("package", sorted(KNOWN))
def test_each_is_the_licence_that_the_package_declares(package):
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        assert package not in sbom.locked("worker-cpu"), "only what accelerators need is not installed here"
        return
    words = sbom.declared(package)
    if words and words != "Dual License":
        assert family(words) & family(KNOWN[package]), f"{words} is not {KNOWN[package]}"


def test_the_bill_of_materials_is_valid_and_names_every_package_of_the_lock():
    bill = sbom.bill_of("web", KNOWN)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    listed = {one["name"]: one["version"] for one in json.loads(bill)["components"]}
    assert listed == sbom.locked("web")
    assert all(one["licenses"][0]["expression"] for one in json.loads(bill)["components"])
