"""Walks protobuf's wire format field by field, without message definitions and without a library.

See https://protobuf.dev/programming-guides/encoding/. The web process uses it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator

from apps.agents.contracts.errors.models import ModelMalformed, ModelTruncated

VARINT, FIXED64, SIZED, FIXED32 = 0, 1, 2, 5
"""Wire types. 3 and 4 are groups, which do not occur in the formats read here."""
MOST_TEXT_BYTES = 256 * 2**20


class WireReader:
    """One pass over `data`. A message is a range of its bytes. Fields and text are counted over all messages.

    Raises `ModelTruncated` if a part reaches past its end, and `ModelMalformed` if bytes are invalid or there are more
    than `most_fields`.
    """

    def __init__(self, data: mmap.mmap | bytes, *, most_fields: int) -> None:
        self.data, self.most_fields = data, most_fields
        self.fields_read = self.text_bytes = 0

    def varint(self, at: int, end: int) -> tuple[int, int]:
        """The number at `at`, in 64 bits, and its end."""
        value = shift = 0
        while at < end:
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
            shift += 7
            if shift > 63:
                raise ModelMalformed(reason=f"a number at byte {at} does not end")
        raise ModelTruncated(reason=f"a number at byte {at} is cut off")

    def fields(self, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, wire type, and then start and end of a length-delimited field, or value and 0 of another field."""
        while at < end:
            self.fields_read += 1
            if self.fields_read > self.most_fields:
                raise ModelMalformed(reason=f"it has more than {self.most_fields:,} fields")
            tag, at = self.varint(at, end)
            number, wire = tag >> 3, tag & 7
            if wire == VARINT:
                value, at = self.varint(at, end)
                yield number, wire, value, 0
                continue
            if wire == SIZED:
                length, at = self.varint(at, end)
            elif wire in (FIXED64, FIXED32):
                length = 8 if wire == FIXED64 else 4
            else:
                raise ModelMalformed(reason=f"byte {at} declares wire type {wire}, which does not exist")
            if at + length > end:
                missing = at + length - end
                raise ModelTruncated(reason=f"a part that begins at byte {at:,} lacks its last {missing:,} bytes")
            yield number, wire, at, at + length
            at += length

    def messages(self, at: int, end: int) -> Iterator[tuple[int, int, int]]:
        """Only the length-delimited fields: number, start, end."""
        for number, wire, start, stop in self.fields(at, end):
            if wire == SIZED:
                yield number, start, stop

    def text(self, at: int, end: int) -> str:
        """A string that a database can store."""
        self.text_bytes += end - at
        if self.text_bytes > MOST_TEXT_BYTES:
            raise ModelMalformed(reason=f"its names take more than {MOST_TEXT_BYTES // 2**20} MiB")
        try:
            text = self.data[at:end].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ModelMalformed(reason=f"the text at byte {at} is not UTF-8") from error
        if "\x00" in text:  # no tool writes one, and PostgreSQL cannot keep it
            raise ModelMalformed(reason=f"the text at byte {at} contains a zero byte")
        return text
