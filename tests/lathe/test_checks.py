"""`manage.py check` tells what Django cannot know."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from apps.agents.contracts.sandbox import Sandbox
from lathe.checks import (
    hidden_standard_library,
    misspelt,
    open_to_uploads,
    unfit_for_a_team,
    unusable_signing_key,
    unwritable,
)
from lathe.env import PROJECT_ROOT, Environment

pytestmark = pytest.mark.portable

TEAM = Environment.read(
    {
        "LATHE_SECRET_KEY": "k" * 50,
        "LATHE_BASE_URL": "https://lathe.example.org",
        "DATABASE_URL": "postgres://lathe@db/lathe",
        "REDIS_URL": "redis://broker:6379/0",
    }
)


def test_a_misspelt_variable_is_named_with_the_right_one():
    (warning,) = misspelt({"LATHE_ALOWED_HOSTS": "x", "HOME": "/root"}, TEAM.names)
    assert warning.msg == "LATHE_ALOWED_HOSTS is set, but Lathe has no such variable."
    assert warning.hint == "Did you mean LATHE_ALLOWED_HOSTS?"


def test_variables_of_the_tests_and_known_ones_are_no_mistakes():
    assert list(misspelt({"LATHE_TEST_REDIS_URL": "x", "LATHE_DEBUG": "0"}, TEAM.names)) == []


def test_a_package_called_platform_is_an_error(tmp_path):
    assert list(hidden_standard_library(tmp_path)) == []
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "__init__.py").touch()
    (error,) = hidden_standard_library(tmp_path)
    assert error.id == "lathe.E001"


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    assert list(unwritable(tmp_path)) == []
    (error,) = unwritable(tmp_path / "missing")
    assert str(tmp_path / "missing") in error.msg


def pem(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    shut = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, shut)


def test_a_key_that_signs_is_fine_and_none_at_all_too(tmp_path):
    assert list(unusable_signing_key(None)) == []
    key = tmp_path / "key.pem"
    for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()):
        key.write_bytes(pem(ec.generate_private_key(curve)))
        assert list(unusable_signing_key(key)) == []


@pytest.mark.parametrize(
    ("contents", "told"),
    [
        (None, "which cannot be read: No such file or directory"),
        (b"no key", "which is not a private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "which is encrypted"),
        (pem(ed25519.Ed25519PrivateKey.generate()), "whose key is not on an elliptic curve"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "whose key is on secp256k1"),
        (
            ec.generate_private_key(ec.SECP256R1())
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "which is not a private key in PEM",
        ),
    ],
)
def test_a_key_that_cannot_sign_is_refused_with_the_reason(tmp_path, contents, told):
    key = tmp_path / "key.pem"
    if contents is not None:
        key.write_bytes(contents)
    (error,) = unusable_signing_key(key)
    assert error.id == "lathe.E003"
    assert f"LATHE_SIGNING_KEY is {key}, {told}" in error.msg
    assert "P-256, P-384 or P-521" in error.msg


def test_a_key_that_uploaded_code_can_read_is_refused():
    within = Path(pytest.__file__)
    assert [error.id for error in unusable_signing_key(within)] == ["lathe.E003", "lathe.E004"]


@pytest.mark.children
def test_the_checks_at_the_start_fail_with_a_key_that_cannot_sign(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("no key")
    checked = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT_ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "lathe.settings",
            "LATHE_VAR_DIR": str(tmp_path),
            "LATHE_SIGNING_KEY": str(key),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert f"(lathe.E003) Packages cannot be signed: LATHE_SIGNING_KEY is {key}" in checked.stderr


def test_a_complete_deployment_has_nothing_to_complain_about():
    assert list(unfit_for_a_team(TEAM)) == []


@pytest.mark.parametrize(
    ("change", "variable"),
    [
        ({"secret_key": None}, "LATHE_SECRET_KEY"),
        ({"redis_is_embedded": True}, "REDIS_URL"),
        ({"database_url": "sqlite:////srv/lathe.db"}, "DATABASE_URL"),
        ({"base_url": "http://lathe.example.org"}, "LATHE_BASE_URL"),
        ({"behind_proxy": True}, "LATHE_TRUSTED_PROXIES"),
    ],
)
def test_what_serves_one_machine_only_is_a_warning(change, variable):
    (warning,) = unfit_for_a_team(replace(TEAM, **change))
    assert warning.msg.startswith(variable)
    assert warning.hint


def test_a_machine_that_cannot_close_uploads_in_is_a_warning_that_says_what_they_could_do():
    full = Sandbox(landlock_abi=7, call_filter=True)
    assert list(open_to_uploads(TEAM, full)) == []
    (warning,) = open_to_uploads(TEAM, Sandbox(landlock_abi=4))
    assert warning.id == "lathe.W007"
    assert "is partial" in warning.msg
    assert "use the network, except for TCP" in warning.msg
    assert "LATHE_SANDBOX=required" in warning.hint


def test_a_var_folder_among_the_libraries_is_a_warning():
    full = Sandbox(landlock_abi=7, call_filter=True)
    (warning,) = open_to_uploads(replace(TEAM, var_dir=Path(sys.prefix) / "lathe"), full)
    assert warning.id == "lathe.W008"
    assert warning.msg.startswith("LATHE_VAR_DIR")
