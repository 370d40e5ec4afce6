"""How many bits a stored number takes, by the name of its type in numpy and ml_dtypes. Imports no heavy library."""

from __future__ import annotations

from collections.abc import Mapping

_TYPES_BY_BITS = {
    128: ("complex128",),
    64: ("float64", "int64", "uint64", "complex64"),
    32: ("float32", "int32", "uint32"),
    16: ("float16", "bfloat16", "int16", "uint16"),
    8: ("int8", "uint8", "bool", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0"),
    6: ("int6", "uint6"),
    5: ("int5", "uint5"),
    4: ("int4", "uint4", "float4e2m1"),
    3: ("int3", "uint3"),
    2: ("int2", "uint2"),
}
BITS: Mapping[str, int] = {dtype: bits for bits, dtypes in _TYPES_BY_BITS.items() for dtype in dtypes}
"""Bits of one stored element. Types that are not listed are not counted. If a format packs several numbers into a word,
inspection counts the numbers: a `weight_packed` of 100 int32 is 800 `uint4`."""
FULL_FLOATS = frozenset({"float32", "float64"})
HALF_FLOATS = frozenset({"float16", "bfloat16"})


def bytes_of(elements: int, dtype: str) -> int:
    """Bytes of `elements` numbers of type `dtype`; 0 for a type whose bits are not known, such as text."""
    return -(-elements * BITS.get(dtype, 0) // 8)
