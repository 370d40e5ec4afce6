"""The reader of `.npy` headers agrees with numpy's own, and reads no more of a header than it may have."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from apps.agents.contracts.errors.datasets import DatasetUnreadable
from apps.agents.files.npz_headers import NPY_HEADER_MAXIMUM, read_npy_header

TYPES = ("?", "<i1", "<i2", ">i4", "<i8", "<u1", ">u2", "<u4", "<u8", "<f2", ">f4", "<f8", "<U7", "|S5")
SHAPES = ((), (0,), (3,), (30, 2), (2, 1, 4, 5))


def written(array: np.ndarray, version: tuple[int, int]) -> io.BytesIO:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=version)
    stream.seek(0)
    return stream


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_header_is_read_as_numpy_reads_it(dtype: str, version: tuple[int, int]) -> None:
    for shape in SHAPES:
        for order in ("C", "F"):
            array = np.zeros(shape, dtype, order=order)  # type: ignore[call-overload]
            stream = written(array, version)
            found = read_npy_header("x", stream)
            stream.seek(0)
            read = np.lib.format.read_array(stream)
            assert (found.shape, np.dtype(found.descr)) == (read.shape, read.dtype)
            assert found.fortran_order is (array.flags.f_contiguous and not array.flags.c_contiguous)
            assert found.data_offset + found.data_bytes == len(stream.getvalue())


def test_a_header_that_declares_too_much_is_refused_before_it_is_read() -> None:
    stream = io.BytesIO(
        b"\x93NUMPY\x02\x00" + struct.pack("<I", NPY_HEADER_MAXIMUM + 1) + b" " * 2 * NPY_HEADER_MAXIMUM
    )
    with pytest.raises(DatasetUnreadable, match=f"declares {NPY_HEADER_MAXIMUM + 1} bytes"):
        read_npy_header("x", stream)
    assert stream.tell() == 12
