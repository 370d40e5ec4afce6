"""Columns that only number the rows, as saved with data frames. They are not features of a model."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

INDEX_LEFT_OUT = "The column {name} is the index of the rows, so it is not used as a feature."
_LEVEL = r"__index_level_\d+__"
"""pandas' name for an unnamed index level. A level's values may repeat, as in concatenated frames."""
_PROGRAMS_NAMES = r"(Unnamed: 0(\.\d+)?)?"
"""Names that only programs give to a column."""
_COUNTERS = r"index|level_0|id|(row|sample)?[ _-]?(id|nr|no|number|index)\.?|row|#"
"""Left out only if they count the rows."""
_REAL = r"^[+-]?\d*[.,]\d*(?:[eE][+-]?\d+)?$"


def is_index(name: str, column: pa.ChunkedArray) -> bool:
    """Whether the column has a name that is used for a saved index and could be one: every row has its own value.

    A name that only pandas uses is enough by itself.
    """
    if re.fullmatch(_LEVEL, name):
        return True
    if re.fullmatch(_COUNTERS, name, re.IGNORECASE):
        return counts_rows(column)
    if not re.fullmatch(_PROGRAMS_NAMES, name) or pc.count_distinct(column).as_py() != len(column):
        return False
    if pa.types.is_string(column.type):
        return not pc.any(pc.match_substring_regex(column, _REAL)).as_py()
    return not pa.types.is_floating(column.type)


def counts_rows(column: pa.ChunkedArray) -> bool:
    """Whether the values are 0, 1, 2 … or 1, 2, 3 …"""
    try:
        numbers = pc.cast(column, pa.int64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return len(numbers) > 0 and numbers[0] in (0, 1) and bool((numbers[1:] - numbers[:-1] == 1).all())
