"""What a member can get wrong in the model store. What they get wrong inside a file stands in `contracts.errors`."""

from __future__ import annotations

from apps.errors import UserError

# --- uploads ---------------------------------------------------------------------------------------------------------


class FileNotGiven(UserError):
    code = "upload.no_file"
    sentence = "There is no file. Choose one, or name a finished upload."


class UploadEmpty(UserError):
    code = "upload.empty"
    sentence = "The file is empty. Choose another one."


class UploadTooLarge(UserError):
    code = "upload.too_large"
    status = 413
    sentence = "The file has more than the {limit_mib:,.0f} MiB that are allowed here. An operator can raise the limit."


class UploadOffsetMismatch(UserError):
    """`context["expected"]` is the offset to go on from."""

    code = "upload.offset_mismatch"
    status = 409
    sentence = "The upload stands at byte {expected:,}, not at {given:,}. Go on from there."


class UploadOverrun(UserError):
    code = "upload.overrun"
    sentence = "This piece would make the file longer than the {size_bytes:,} bytes announced. Begin a new upload."


class UploadChunkCut(UserError):
    code = "upload.chunk_cut"
    status = 400
    sentence = "{announced:,} bytes were announced and {received:,} came. Send the piece again from the same offset."


class UploadHeaderMissing(UserError):
    code = "upload.header_missing"
    status = 400
    sentence = "The header {header} is missing or no whole number. It says {meaning}."


class UploadIncomplete(UserError):
    code = "upload.incomplete"
    status = 409
    sentence = "Only {received_bytes:,} of {size_bytes:,} bytes have arrived. Send the rest first."


class UploadExpired(UserError):
    code = "upload.expired"
    status = 410
    sentence = "This upload was left for too long and is gone. Begin a new one."


class StoreQuotaExceeded(UserError):
    code = "store.quota_exceeded"
    status = 413
    sentence = (
        "The team {team} keeps {used_mb:,.1f} of {quota_mb:,.1f} MB, and this file has {size_mb:,.1f} MB. Delete "
        "sessions or models that are not needed, or ask an operator for a larger quota."
    )


class UploadUnknown(UserError):
    code = "upload.unknown"
    sentence = "There is no such upload in this team; one that was used already cannot be used again."


# --- models ----------------------------------------------------------------------------------------------------------


class ModelNameTaken(UserError):
    code = "model.name_taken"
    status = 409
    sentence = "The team has a model called “{name}” already. Choose another name, or add a version to that model."


class ModelNameMissing(UserError):
    code = "model.name_missing"
    sentence = "The model needs a name of at most {longest} characters."


class TagsInvalid(UserError):
    code = "model.tags_invalid"
    sentence = "{reason} A model has at most {most} tags of at most {longest} characters each, without commas."


class ModelInUse(UserError):
    code = "model.in_use"
    status = 409
    sentence = "Sessions still rest on “{name}”: {users}. Delete them first, or the model with its sessions."


class VersionInUse(UserError):
    code = "version.in_use"
    status = 409
    sentence = "{version} is still needed: {users}. Take that away first; sessions can be deleted with it."


class VersionNotReady(UserError):
    code = "version.not_ready"
    status = 409
    sentence = "{version} is {status}. Only a version that passed the checks can be used."


class VersionElsewhere(UserError):
    code = "version.other_model"
    sentence = "{version} is no version of “{model}”."


class SignatureNotOffered(UserError):
    code = "version.signature_unknown"
    sentence = "{version} offers no signature {name!r}. It offers {offered}."


class SignatureInUse(UserError):
    code = "version.signature_in_use"
    status = 409
    sentence = (
        "{version} is what {user} rests on, so its signature stays. Add the file as another version, and choose there."
    )


class CodeNotAllowed(UserError):
    code = "model.code_not_allowed"
    status = 403
    sentence = (
        "This file brings code ({member}), and you may not upload code to the team {team}. "
        "Its owners can allow it on the page “Members”: {owners}."
    )


class CodeNotAccepted(UserError):
    code = "model.code_not_accepted"
    status = 403
    sentence = (
        "This file brings code ({member}), and no model with code is accepted here. "
        "An operator can change that in the store's settings in the admin."
    )


class ModelInspectionFailed(UserError):
    """Not the member's fault: the checks themselves broke. The traceback is in the worker's log."""

    code = "model.inspection_failed"
    status = 500
    sentence = "The checks of this file broke on our side. Upload it again; if it happens again, tell an operator."


# --- aliases ---------------------------------------------------------------------------------------------------------


class AliasNameInvalid(UserError):
    code = "alias.name_invalid"
    sentence = "“{name}” cannot be an alias: use up to 60 lower-case letters, digits, hyphens and underscores."


class AliasMovedMeanwhile(UserError):
    code = "alias.moved_meanwhile"
    status = 409
    sentence = "“{alias}” points at {current} by now, not at {expected}: somebody moved it. Look again, then decide."


class NothingToUndo(UserError):
    code = "alias.nothing_to_undo"
    status = 409
    sentence = "“{alias}” has no move left that can be taken back."


# --- data sets -------------------------------------------------------------------------------------------------------


class DataSetNameTaken(UserError):
    code = "dataset.name_taken"
    status = 409
    sentence = "The team has a data set called “{name}” already. Choose another name."


class DataSetNameMissing(UserError):
    code = "dataset.name_missing"
    sentence = "The data set needs a name of at most {longest} characters."


class DataSetSpecInvalid(UserError):
    code = "dataset.spec_invalid"
    sentence = "The description of the data does not hold together: {reason}."


class DataSetWrongType(UserError):
    code = "dataset.wrong_type"
    sentence = "By its content this is {found}, not {wanted}. Its name does not matter, its bytes do."


class DataSetInUse(UserError):
    code = "dataset.in_use"
    status = 409
    sentence = "Sessions measured with “{name}”. Delete them first, or the data set with its sessions."


class DataSetInspectionFailed(UserError):
    """Not the member's fault: the checks themselves broke. The traceback is in the worker's log."""

    code = "dataset.inspection_failed"
    status = 500
    sentence = "The checks of this file broke on our side. Upload it again; if it happens again, tell an operator."


# --- the store itself ------------------------------------------------------------------------------------------------


class StoreFileMissing(UserError):
    """Not the member's fault: an operator has to look. Whoever has the file can heal it."""

    code = "store.file_missing"
    status = 500
    sentence = (
        "The store has lost the file of {name}. The operators were told. Uploading the same file again puts it back."
    )


class StoreFileDamaged(StoreFileMissing):
    code = "store.file_damaged"
    status = 500
    sentence = (
        "The file of {name} was changed in the store, so it is not used. The operators were told. Uploading the same "
        "file again puts it right."
    )
