"""Files that a command reads or writes. Whether one can be written is known before the command does anything else."""

from __future__ import annotations

from pathlib import Path

from lathe_client.errors import LatheError, sentence_about


def existing(path: Path) -> Path:
    """The path, which must be that of a file."""
    if not path.is_file():
        raise LatheError(f"There is no file {path}.")
    return path


def read_text(path: Path) -> str:
    """The text of a file. Raises `LatheError` if there is none."""
    try:
        return existing(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LatheError(f"{path} is not a text in UTF-8: {error.reason}.") from error


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
