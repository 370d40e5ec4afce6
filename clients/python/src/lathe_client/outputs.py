"""Files that a command is to write: whether that is possible is known before it does anything else."""

from __future__ import annotations

from pathlib import Path

from lathe_client.errors import LatheError, sentence_about


def writable(path: Path) -> Path:
    """The path, in a folder that is made if need be. Raises `LatheError` if no file can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.open("ab").close()
            path.unlink()
        elif path.is_file() or path.is_dir():
            path.open("ab").close()
    except OSError as error:
        raise LatheError(f"{path} cannot be written. {sentence_about(error)} Name another file.") from error
    return path


def place(path: Path) -> Path:
    """The path of a folder that exists, or of a file that can be written. Raises `LatheError` otherwise."""
    return path if path.is_dir() else writable(path)
