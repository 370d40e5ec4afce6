"""Archives that cannot be unpacked safely."""

from __future__ import annotations

from apps.errors import UserError


class ArchiveDamaged(UserError):
    code = "archive.damaged"
    sentence = "The zip archive cannot be read: {reason}. Upload it again, or create the archive again."


class ArchivePathEscape(UserError):
    code = "archive.path_escape"
    sentence = "The archive's entry {name!r} points outside the archive. Pack the files with plain relative names."


class ArchiveLink(UserError):
    code = "archive.link"
    sentence = "The archive's entry {name!r} is a link or a device. Pack the file itself."


class ArchiveBomb(UserError):
    code = "archive.bomb"
    status = 413
    sentence = "The archive is refused before unpacking: {reason}."


class ArchiveEncrypted(UserError):
    code = "archive.encrypted"
    sentence = "The archive's entry {name!r} is encrypted. Pack it without a password."


class ArchiveDuplicate(UserError):
    code = "archive.duplicate"
    sentence = "The archive holds {name!r} twice, or as both a file and a folder. Each path may occur once."


class ArchiveCompression(UserError):
    code = "archive.compression"
    sentence = "The archive's entry {name!r} is compressed with method {method}, which is not supported. Use deflate."
