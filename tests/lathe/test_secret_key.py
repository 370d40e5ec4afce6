"""The key is made once, for this user alone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from lathe.secret_key import kept_in

pytestmark = pytest.mark.portable


def test_the_key_is_made_once_and_only_its_user_can_read_it(tmp_path):
    key = kept_in(tmp_path / "var")
    assert len(key) >= 50
    assert kept_in(tmp_path / "var") == key
    assert stat.S_IMODE((tmp_path / "var" / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["secret_key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: kept_in(tmp_path), range(32)))
    assert len(keys) == 1
