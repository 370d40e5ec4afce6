"""`lathe verify` on packages that the packaging code has made: whole ones pass, and every change is refused."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from apps.agents.files.digest import digest_of
from apps.agents.files.reproducible_zip import add_to_zip, seal, write_zip
from apps.agents.packaging.signing import public_digest, sign
from lathe_client import LatheError, Refused, verify
from tests.clients.conftest import Command
from tests.live_portal import ROOT

MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Keys:
    private: Path
    public: Path


def keys(folder: Path, curve: ec.EllipticCurve | None = None) -> Keys:
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(curve or ec.SECP256R1())
    made = Keys(folder / "key.pem", folder / "key.pub")
    made.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    made.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return made


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def signed(unsigned: Path, signer: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same one with the operator's signature."""
    folder = tmp_path_factory.mktemp("signed")
    package = folder / "package.zip"
    package.write_bytes(unsigned.read_bytes())
    assert sign(package, signer.private, folder, MOST_BYTES) == public_digest(signer.private)
    return package


def test_a_whole_package_passes_and_says_whether_it_is_signed(unsigned: Path, signed: Path, signer: Keys) -> None:
    found = verify(unsigned)
    with zipfile.ZipFile(unsigned) as archive:
        assert found.files == len(archive.namelist())
    assert (found.model, found.sha256) == ("Fashion: static int8", "b" * 64)
    assert (found.signed, found.checked) == (False, False)
    assert (verify(signed).signed, verify(signed).checked) == (True, False)
    assert verify(signed, signer.public).checked


# --- one flipped byte ------------------------------------------------------------------------------------------------


def places(package: Path) -> list[int]:
    """Every byte of the zip's own structure, and of each file's contents the first, the last and every 97th."""
    size = package.stat().st_size
    with zipfile.ZipFile(package) as archive:
        infos, directory = archive.infolist(), archive.start_dir
    found = set(range(directory, size))
    for info, after in zip(infos, [*(one.header_offset for one in infos[1:]), directory], strict=True):
        contents = after - info.compress_size
        found |= {*range(info.header_offset, contents), *range(contents, after, 97), after - 1}
    return sorted(found)


@pytest.mark.parametrize("kind", ["unsigned", "signed"])
def test_one_flipped_byte_anywhere_is_refused(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    package: Path = request.getfixturevalue(kind)
    whole, changed = package.read_bytes(), tmp_path / "changed.zip"
    tried, passed = places(package), []
    for number, place in enumerate(tried):
        changed.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << number % 8]) + whole[place + 1 :])
        try:
            verify(changed)
        except Refused:
            continue
        passed.append(place)
    assert passed == []
    assert len(tried) > 1_000


def test_a_cut_or_longer_file_is_refused(unsigned: Path, tmp_path: Path) -> None:
    whole, changed = unsigned.read_bytes(), tmp_path / "changed.zip"
    for contents in (whole[:-1], whole[1:], whole + b"\0", b"\0" + whole, whole + whole, whole[: len(whole) // 2], b""):
        changed.write_bytes(contents)
        with pytest.raises(Refused):
            verify(changed)


# --- changes by someone who seals the package again ------------------------------------------------------------------


def repacked(package: Path, folder: Path, change: Callable[[dict[str, Path]], dict[str, Path]]) -> Path:
    """The package with other files, written and sealed as Lathe does."""
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder / "files")
        files = {name: folder / "files" / name for name in archive.namelist()}
    out = write_zip(folder / "changed.zip", list(change(files).items()), compress=True)
    seal(out)
    return out


def without(files: dict[str, Path], name: str) -> dict[str, Path]:
    return {one: path for one, path in files.items() if one != name}


def rewritten(files: dict[str, Path], name: str) -> dict[str, Path]:
    files[name].write_bytes(files[name].read_bytes() + b" ")
    return files


CHANGES: dict[str, tuple[Callable[[dict[str, Path]], dict[str, Path]], str]] = {
    "nothing": (lambda files: files, ""),
    "a file added": (lambda files: {**files, "sitecustomize.py": files["run.py"]}, "contains sitecustomize.py"),
    "a file removed": (lambda files: without(files, "recipe.json"), "lacks recipe.json"),
    "a file renamed": (lambda files: {**without(files, "run.py"), "ran.py": files["run.py"]}, "lacks run.py"),
    "the model": (lambda files: rewritten(files, "net.onnx"), "contents of net.onnx have changed"),
    "the card": (lambda files: rewritten(files, "MODEL_CARD.md"), "contents of MODEL_CARD.md have changed"),
    "no evidence": (lambda files: without(files, "evidence.cdx.json"), "evidence.cdx.json cannot be read"),
    "another name in case": (lambda files: {**files, "RUN.PY": files["run.py"]}, "twice"),
    "a way out": (lambda files: {**files, "../run.py": files["run.py"]}, "not that of a file in a package"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_files_are_refused_although_the_seal_holds(unsigned: Path, tmp_path: Path, name: str) -> None:
    change, told = CHANGES[name]
    package = repacked(unsigned, tmp_path, change)
    if not told:
        assert package.read_bytes() == unsigned.read_bytes()
        return
    with pytest.raises(Refused, match=re.escape(told)):
        verify(package)


def forged(files: dict[str, Path]) -> dict[str, Path]:
    """Another model, with evidence that says so."""
    rewritten(files, "net.onnx")
    bill = json.loads(files["evidence.cdx.json"].read_text())
    (entry,) = (one for one in bill["components"] if one["name"] == "net.onnx")
    entry["hashes"][0]["content"] = digest_of(files["net.onnx"])
    files["evidence.cdx.json"].write_text(json.dumps(bill))
    return files


def test_only_the_signature_shows_who_made_a_consistent_package(signed: Path, signer: Keys, tmp_path: Path) -> None:
    package = repacked(signed, tmp_path, forged)
    assert not verify(package).checked
    with pytest.raises(Refused, match="signature is about other files"):
        verify(package, signer.public)


def test_a_missing_signature_and_another_key_are_refused(
    unsigned: Path, signed: Path, signer: Keys, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="not signed, although a key was given"):
        verify(unsigned, signer.public)
    with pytest.raises(Refused, match="not made with this key"):
        verify(signed, keys(tmp_path).public)
    with pytest.raises(LatheError, match="not a public key in PEM"):
        verify(signed, signer.private)


def hidden(package: Path, out: Path, *, listed: bool) -> Path:
    """A file between the last one and the zip's directory that the directory does not list; or its end, moved away."""
    whole = package.read_bytes()
    with zipfile.ZipFile(package) as archive:
        directory = archive.start_dir
    name = b"evil.py"
    header = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 0, 0, 0, 0, 4, 4, len(name), 0) + name + b"evil"
    changed = whole[:directory] + header + whole[directory:]
    if not listed:
        end = changed.rindex(b"PK\x05\x06")
        place = struct.pack("<I", directory + len(header))
        changed = changed[: end + 16] + place + changed[end + 20 :]
    out.write_bytes(changed)
    seal(out)
    return out


@pytest.mark.parametrize("listed", [True, False])
def test_a_file_that_the_directory_does_not_list_is_refused(unsigned: Path, tmp_path: Path, listed: bool) -> None:
    with pytest.raises(Refused, match="do not belong to a file"):
        verify(hidden(unsigned, tmp_path / "changed.zip", listed=listed))


def test_a_signature_added_later_leaves_the_evidence_whole(unsigned: Path, tmp_path: Path) -> None:
    package = tmp_path / "package.zip"
    package.write_bytes(unsigned.read_bytes())
    add_to_zip(package, "model.sig", b"{}")
    with pytest.raises(Refused, match="not those that were sealed"):
        verify(package)
    seal(package)
    assert verify(package).signed
    with pytest.raises(Refused, match="signature cannot be read"):
        verify(package, keys(tmp_path / "keys").public)


# --- the format ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_signature_is_that_of_model_signing(unsigned: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """Both ways: what the library signs, the client verifies, and the library verifies the unpacked package."""
    from model_signing import hashing, verifying

    made, package = keys(tmp_path / "keys", curve), tmp_path / "package.zip"
    package.write_bytes(unsigned.read_bytes())
    sign(package, made.private, tmp_path, MOST_BYTES)
    assert verify(package, made.public).checked
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    files = hashing.Config().set_ignored_paths(paths=["model.sig"], ignore_git_paths=False)
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=made.public).set_hashing_config(files)
    verifier.verify(folder, folder / "model.sig")


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_exit_codes_of_the_command(stranger_to_it: Command, signed: Path, signer: Keys, tmp_path: Path) -> None:
    whole = stranger_to_it("verify", signed, "--key", signer.public)
    assert whole.returncode == 0
    assert "is unchanged: 11 files, Fashion: static int8" in whole.stdout
    assert "It was signed with the private half of" in whole.stdout
    assert "no key was given" in stranger_to_it("verify", signed).stdout
    changed = tmp_path / "changed.zip"
    changed.write_bytes(signed.read_bytes().replace(b"net.onnx", b"net.onny", 1))
    refused = stranger_to_it("verify", changed)
    assert refused.returncode == 1
    assert "is not as it was delivered." in refused.stderr
    assert stranger_to_it("verify", tmp_path / "missing.zip").returncode == 3


def test_a_missing_library_for_signatures_is_a_sentence(signed: Path, signer: Keys, tmp_path: Path) -> None:
    """Where only httpx is installed, everything but a signature is checked."""
    (tmp_path / "cryptography.py").write_text("raise ImportError('not here')")
    places = f"{tmp_path}:{ROOT / 'clients' / 'python' / 'src'}"
    command = [sys.executable, "-m", "lathe_client", "verify", str(signed)]
    environment = {"PYTHONPATH": places, "PATH": ""}
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    asked = [*command, "--key", str(signer.public)]
    made = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    assert made.returncode == 3
    assert "pip install 'lathe-client[signatures]'" in made.stderr
