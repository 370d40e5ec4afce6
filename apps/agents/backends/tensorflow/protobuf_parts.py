"""How many parts a protobuf has, counted before it is parsed: two bytes may describe a message that takes a hundred.

See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from typing import Any

_VARINT, _FIXED_64, _SIZED, _FIXED_32 = 0, 1, 2, 5
_LONGEST_VARINT = 10


def has_more_parts(content: bytes, message: Any, most: int) -> bool:
    """Whether `content`, of the type that the descriptor `message` tells, has more than `most` fields in all.

    Counting ends at the first byte that makes no sense: such content the parser refuses itself.
    """
    count, left = 0, [(0, len(content), message)]
    while left:
        place, end, kind = left.pop()
        while place < end:
            count += 1
            if count > most:
                return True
            try:
                tag, place = _varint(content, place)
                width = tag & 7
                if width == _SIZED:
                    length, place = _varint(content, place)
                    field = kind.fields_by_number.get(tag >> 3)
                    if field is not None and field.message_type is not None:
                        left.append((place + length, end, kind))  # What follows, once the inner message is counted.
                        end, kind = min(place + length, end), field.message_type
                    else:
                        place += length
                elif width == _VARINT:
                    _, place = _varint(content, place)
                elif width in (_FIXED_64, _FIXED_32):
                    place += 8 if width == _FIXED_64 else 4
                else:
                    return False
            except (IndexError, ValueError):
                return False
    return False


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """The number at `place` and where it ends."""
    value = 0
    for offset in range(_LONGEST_VARINT):
        byte = content[place + offset]
        value |= (byte & 127) << (7 * offset)
        if byte < 128:
            return value, place + offset + 1
    raise ValueError("a number of more than ten bytes")
