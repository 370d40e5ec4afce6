"""Pairs of words with people's ratings, as a data set of texts."""

from __future__ import annotations

import json
from pathlib import Path


def write_pairs(table: Path, path: Path) -> None:
    """Write `text_a`, `text_b` and `score` for each pair of the tab-separated `table` to the jsonl `path`."""
    rows = [line.split("\t") for line in table.read_text().splitlines() if line and not line.startswith("#")]
    pairs = ({"text_a": first, "text_b": second, "score": float(score)} for first, second, score in rows)
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
