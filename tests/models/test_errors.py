"""The store's errors: codes that never change, sentences that fill in."""

from __future__ import annotations

import inspect
import string

import pytest

from apps.errors import UserError
from apps.models import errors

pytestmark = pytest.mark.portable

OURS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


def test_every_code_is_used_once():
    codes = [kind.code for kind in UserError.catalogue()]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.code)
def test_a_sentence_is_whole(kind: type[UserError]):
    names = {name for _, name, spec, _ in string.Formatter().parse(kind.sentence) if name}
    error = kind(**dict.fromkeys(names, 1))
    assert error.message.endswith(".")
    assert "{" not in error.message
    assert 400 <= error.status < 600
    assert set(error.code) <= set(string.ascii_lowercase + "._")
