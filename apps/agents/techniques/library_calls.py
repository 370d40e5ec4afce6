"""Calls to libraries that print a lot and may raise anything: suppresses their output and converts their errors."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator

from apps.agents.contracts.errors.techniques import TechniqueLibraryFailed
from apps.errors import UserError


def words_of(error: BaseException, most: int = 400) -> str:
    """The type and message of a library's error, in one line of at most `most` characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:most].rstrip(". ")


@contextlib.contextmanager
def library_words(
    label: str, reason_of: Callable[[Exception], str] = words_of, *, out_of_memory: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Converts an error of a library to `TechniqueLibraryFailed` for the technique `label`, with the library's reason.

    Lathe's own errors and errors about a lack of memory are passed on. `out_of_memory` are the library's errors of that
    kind.
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
    """Like `library_words`, and also `quiet`."""
    with quiet(), library_words(label, reason_of, out_of_memory=out_of_memory):
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses a library's progress bars, warnings and log lines. The job reports progress itself."""
    silent = io.StringIO()
    disabled = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)
