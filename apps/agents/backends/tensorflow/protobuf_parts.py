"""Counts the parts of a protobuf before it is parsed: a message described by two bytes may take a hundred in memory."""

from __future__ import annotations

from typing import Any

from apps.agents.contracts.errors.models import ModelMalformed, ModelTruncated
from apps.agents.files.protobuf_wire import SIZED, WireReader


def has_more_parts(content: bytes, message: Any, most: int) -> bool:
    """Whether `content`, of the type of the descriptor `message`, has more than `most` fields in total.

    Counting ends at the first invalid byte, because the parser refuses such content.
    """
    reader = WireReader(content, most_fields=most)
    left = [(reader.fields(0, len(content)), message)]
    try:
        while left:
            fields, kind = left[-1]
            for number, wire, start, end in fields:
                field = kind.fields_by_number.get(number)
                if wire == SIZED and field is not None and field.message_type is not None:
                    left.append((reader.fields(start, end), field.message_type))  # The rest is read after it.
                    break
            else:
                left.pop()
    except (ModelMalformed, ModelTruncated):
        return reader.fields_read > most
    return False
