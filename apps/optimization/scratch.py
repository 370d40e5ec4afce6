"""Scratch folders of steps: one per attempt, removed when it ends, however it ends."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from django.conf import settings

from apps.agents.contracts.state import Status
from apps.optimization.models import SessionStep

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step-(?P<step>\d+)-(?P<claim>[0-9a-f]{32})")


def root() -> Path:
    return Path(settings.LATHE.var_dir) / "scratch"


def free_bytes() -> int:
    """The bytes that are free for them on this machine."""
    root().mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(root()).free


@contextmanager
def folder(step: SessionStep) -> Iterator[Path]:
    """An empty folder for the attempt that holds the claim of `step`."""
    assert step.claim is not None
    path = root() / f"step-{step.pk}-{step.claim.hex}"
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        _remove(path)


def remove_abandoned() -> int:
    """Removes this machine's folders of ended attempts, left behind by dead workers."""
    if not root().is_dir():
        return 0
    return sum(_remove(path) for path in list(root().iterdir()) if _is_abandoned(path))


def _is_abandoned(path: Path) -> bool:
    name = _NAME.fullmatch(path.name)
    if name is None:
        return False
    at_work = SessionStep.objects.filter(pk=int(name["step"]), claim=UUID(name["claim"]), status=Status.RUNNING)
    return not at_work.exists()


def _remove(path: Path) -> bool:
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return False
    except OSError:
        # A child that is being killed may still write; the next sweep removes the rest.
        logger.warning("The scratch folder %s could not be removed yet.", path, exc_info=True)
        return False
    return True
