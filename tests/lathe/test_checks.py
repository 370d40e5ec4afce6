"""`manage.py check` tells what Django cannot know."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from apps.agents.contracts.sandbox import Sandbox
from lathe.checks import hidden_standard_library, misspelt, open_to_uploads, unfit_for_a_team, unwritable
from lathe.env import Environment

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
