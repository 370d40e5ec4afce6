"""Calling libraries that talk a lot and raise anything: their words stay out, their reasons come through."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator

from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.errors import UserError


def words_of(error: BaseException, most: int = 400) -> str:
    """What a library's error says, after its type, in one line of at most `most` characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:most].rstrip(". ")


@contextlib.contextmanager
def library_words(
    label: str, reason_of: Callable[[Exception], str] = words_of, *, out_of_memory: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Turns what a library raises into `TechniqueLibraryFailed` of the technique `label`, with its own reason.

    Lathe's own errors and a lack of memory stay what they are; `out_of_memory` are the library's errors that say so.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (UserError, MemoryError, *out_of_memory)):
            raise
        raise TechniqueLibraryFailed(technique=label, reason=reason_of(error)) from error


@contextlib.contextmanager
def library_at_work(
    label: str, reason_of: Callable[[Exception], str] = words_of, *, out_of_memory: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """The same for a library that is to keep `quiet`."""
    with quiet(), library_words(label, reason_of, out_of_memory=out_of_memory):
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars, warnings and log lines of a library meanwhile: the job has its own words for what goes on."""
    silent = io.StringIO()
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
