"""Errors that a member can cause in the model store. Errors inside a file are in `apps.agents.contracts.errors`."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

from apps.errors import UserError

# --- uploads ---------------------------------------------------------------------------------------------------------


class FileNotGiven(UserError):
    code = "upload.no_file"
    sentence = _("No file was given. Choose a file, or name a finished upload.")


class UploadEmpty(UserError):
    code = "upload.empty"
    sentence = _("The file is empty. Choose another one.")


class UploadTooLarge(UserError):
    code = "upload.too_large"
    status = 413
    sentence = _("The file is larger than the {limit_mib:,.0f} MiB allowed here. An operator can raise the limit.")


class UploadOffsetMismatch(UserError):
    """`context["expected"]` is the offset to continue from."""

    code = "upload.offset_mismatch"
    status = 409
    sentence = _("The upload is at byte {expected:,}, not at {given:,}. Continue from byte {expected:,}.")


class UploadOverrun(UserError):
    code = "upload.overrun"
    sentence = _("This chunk would make the file longer than the {size_bytes:,} bytes announced. Start a new upload.")


class UploadChunkCut(UserError):
    code = "upload.chunk_cut"
    status = 400
    sentence = _(
        "{announced:,} bytes were announced, but {received:,} arrived. Send the chunk again from the same offset."
    )


class UploadHeaderMissing(UserError):
    code = "upload.header_missing"
    status = 400
    sentence = _("The header {header} is missing or not a whole number. Set it to {meaning}.")


class UploadIncomplete(UserError):
    code = "upload.incomplete"
    status = 409
    sentence = _("Only {received_bytes:,} of {size_bytes:,} bytes have arrived. Send the rest first.")


class UploadExpired(UserError):
    code = "upload.expired"
    status = 410
    sentence = _("This upload was inactive for too long and has expired. Start a new one.")


class StoreQuotaExceeded(UserError):
    code = "store.quota_exceeded"
    status = 413
    sentence = _(
        "The team {team} uses {used_mb:,.1f} of {quota_mb:,.1f} MB, and this file is {size_mb:,.1f} MB. Delete "
        "sessions or models that you no longer need, or ask an operator for a larger quota."
    )


class UploadUnknown(UserError):
    code = "upload.unknown"
    sentence = _("There is no such upload in this team. An upload can be used only once. Upload the file again.")


# --- models ----------------------------------------------------------------------------------------------------------


class ModelNameTaken(UserError):
    code = "model.name_taken"
    status = 409
    sentence = _("The team already has a model called “{name}”. Choose another name, or add a version to that model.")


class ReadmeTooLong(UserError):
    code = "model.readme_too_long"
    sentence = _(
        "The README has {characters:,} characters, but only {longest:,} are allowed. Link to longer texts instead."
    )


class ModelNameMissing(UserError):
    code = "model.name_missing"
    sentence = _("The model needs a name of at most {longest} characters. Enter one.")


class TagsInvalid(UserError):
    code = "model.tags_invalid"
    sentence = _("{reason} A model has at most {most} tags of at most {longest} characters each, without commas.")


class ModelInUse(UserError):
    code = "model.in_use"
    status = 409
    sentence = _(
        "Sessions still use “{name}”: {users}. Delete them first, or delete the model together with its sessions."
    )


class VersionInUse(UserError):
    code = "version.in_use"
    status = 409
    sentence = _(
        "{version} is still in use: {users}. Remove those first. Sessions can be deleted together with the version."
    )


class VersionNotReady(UserError):
    code = "version.not_ready"
    status = 409
    sentence = _("{version} is {status}. Choose a version that has passed its checks.")


class VersionElsewhere(UserError):
    code = "version.other_model"
    sentence = _("{version} is not a version of “{model}”.")


class SignatureNotOffered(UserError):
    code = "version.signature_unknown"
    sentence = _("{version} has no signature {name!r}. Choose from: {offered}.")


class SignatureInUse(UserError):
    code = "version.signature_in_use"
    status = 409
    sentence = _(
        "The signature of {version} cannot change because {user} uses it. Add the file as another version, and choose "
        "there."
    )


class CodeNotAllowed(UserError):
    code = "model.code_not_allowed"
    status = 403
    sentence = _(
        "This file contains code ({member}), and you may not upload code to the team {team}. "
        "Its owners can allow it on the page “Members”: {owners}."
    )


class CodeNotAccepted(UserError):
    code = "model.code_not_accepted"
    status = 403
    sentence = _(
        "This file contains code ({member}), and models with code are not accepted here. "
        "An operator can change that in the store's settings in the admin."
    )


class ModelInspectionFailed(UserError):
    """Not the member's fault: the checks themselves failed. The traceback is in the worker's log."""

    code = "model.inspection_failed"
    status = 500
    sentence = _(
        "The checks of this file failed because of an internal error. Upload it again. If that fails too, tell an "
        "operator."
    )


# --- aliases ---------------------------------------------------------------------------------------------------------


class AliasNameInvalid(UserError):
    code = "alias.name_invalid"
    sentence = _("“{name}” cannot be an alias: use up to 60 lower-case letters, digits, hyphens and underscores.")


class AliasMovedMeanwhile(UserError):
    code = "alias.moved_meanwhile"
    status = 409
    sentence = _(
        "“{alias}” now points at {current}, not at {expected}, because someone moved it. Check the alias, then try "
        "again."
    )


class NothingToUndo(UserError):
    code = "alias.nothing_to_undo"
    status = 409
    sentence = _("“{alias}” has no move left to undo.")


class ApprovalNeeded(UserError):
    code = "alias.approval_needed"
    status = 409
    sentence = _("“{alias}” is protected, so nothing was moved. Ask for approval of the move instead.")


# --- approval --------------------------------------------------------------------------------------------------------


class OwnRequest(UserError):
    code = "approval.own_request"
    status = 403
    sentence = _("You have asked for this move yourself. Another member has to decide about it.")


class PeopleDecide(UserError):
    code = "approval.people_only"
    status = 403
    sentence = _("A service account cannot decide about this move. A member of the team has to.")


class ReasonMissing(UserError):
    code = "approval.reason_missing"
    sentence = _("There is no reason. Write one, of at most {longest} characters, for the audit trail.")


class RequestSettled(UserError):
    code = "approval.settled"
    status = 409
    sentence = _(
        "This request no longer waits for a decision: it is {status}. Ask for the move again if it is still needed."
    )


class RequestOutdated(UserError):
    code = "approval.outdated"
    status = 409
    sentence = _("Nothing was moved, because {why} Ask for the move again if it is still needed.")


# --- data sets -------------------------------------------------------------------------------------------------------


class DataSetNameTaken(UserError):
    code = "dataset.name_taken"
    status = 409
    sentence = _("The team already has a data set called “{name}”. Choose another name.")


class DataSetNameMissing(UserError):
    code = "dataset.name_missing"
    sentence = _("The data set needs a name of at most {longest} characters. Enter one.")


class DataSetSpecInvalid(UserError):
    code = "dataset.spec_invalid"
    sentence = _("The description of the data is inconsistent: {reason}.")


class DataSetWrongType(UserError):
    code = "dataset.wrong_type"
    sentence = _(
        "By its content, this file is {found}, not {wanted}. Upload a file of the right kind. Its name does not matter."
    )


class DataSetInUse(UserError):
    code = "dataset.in_use"
    status = 409
    sentence = _("Sessions have used “{name}”. Delete them first, or delete the data set together with its sessions.")


class DataSetInspectionFailed(UserError):
    """Not the member's fault: the checks themselves failed. The traceback is in the worker's log."""

    code = "dataset.inspection_failed"
    status = 500
    sentence = _(
        "The checks of this file failed because of an internal error. Upload it again. If that fails too, tell an "
        "operator."
    )


# --- the store itself ------------------------------------------------------------------------------------------------


class StoreFileMissing(UserError):
    """Not the member's fault: an operator has to investigate. Anyone who has the file can repair it."""

    code = "store.file_missing"
    status = 500
    sentence = _(
        "The file of {name} is missing from the store. The operators were told. Upload the same file again to restore "
        "it."
    )


class StoreFileDamaged(StoreFileMissing):
    code = "store.file_damaged"
    status = 500
    sentence = _(
        "The file of {name} was changed in the store, so it is not used. The operators were told. Upload the same file "
        "again to repair it."
    )


class RangeUnsatisfiable(UserError):
    code = "store.range_unsatisfiable"
    status = 416
    sentence = _("The file has {size_bytes} bytes, and none of them is in “{asked}”.")
