"""Calling libraries that talk a lot and raise anything."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator

import tensorflow as tf

from apps.agents.backends.tensorflow.loading import said
from apps.agents.errors import TechniqueLibraryFailed
from apps.errors import UserError


@contextlib.contextmanager
def library_words(label: str, reason_of: Callable[[BaseException], str] = said) -> Iterator[None]:
    """Turns what a library raises into `TechniqueLibraryFailed`; what it prints is no member's business."""
    silence, level = io.StringIO(), tf.get_logger().level
    tf.get_logger().setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            warnings.simplefilter("ignore")
            yield
    except (UserError, MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:
        raise TechniqueLibraryFailed(technique=label, reason=reason_of(error)) from error
    finally:
        tf.get_logger().setLevel(level)
