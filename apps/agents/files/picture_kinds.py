"""Recognizes the kind of a picture by its first bytes. Decodes nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

HEAD_BYTES = 32

READ: Mapping[str, tuple[str, ...]] = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe", ".jif", ".mpo"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif", ".avifs"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpx"),
}
"""The supported kinds, by the library's name, with their usual extensions."""
_UNREAD = r"heic|heif|jxl|svg|psd|tga|dng|cr2|cr3|nef|arw|orf|raf|rw2|exr|hdr|ico|icns|pcx|dds|eps|xcf|dcm|nii"
"""Extensions of other kinds. If they lie in a class folder, the member expects them to count."""

_ENDINGS = {ending: kind for kind, endings in READ.items() for ending in endings}
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"BM.{4}\0\0\0\0", "BMP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"RIFF.{4}WEBP", "WEBP"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"P[1-6]\s+[#\d]", "PPM"),
    (rb".{4}ftyp(avif|avis)", "AVIF"),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", "HEIC"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
    (rb"8BPS", "Photoshop"),
    (rb"\0\0\x01\0[\x01-\x40]\0", "ICO"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"#\?RADIANCE", "Radiance"),
    (rb"DDS ", "DDS"),
    (rb"(<\?xml[^>]*>\s*)?<svg", "SVG"),
)


def kind_of_bytes(head: bytes) -> str | None:
    """The kind of picture that begins with `head`; `None` for anything else."""
    return next((kind for pattern, kind in _SIGNATURES if re.match(pattern, head, re.DOTALL)), None)


def is_called_a_picture(name: PurePosixPath) -> bool:
    """Whether the extension is of a supported kind."""
    return name.suffix.lower() in _ENDINGS


def is_called_an_unread_picture(name: PurePosixPath) -> bool:
    return re.fullmatch(rf"\.({_UNREAD})", name.suffix.lower()) is not None
