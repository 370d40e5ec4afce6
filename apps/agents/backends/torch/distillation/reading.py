"""Whether a student of another architecture reads texts as its teacher does."""

from __future__ import annotations

from apps.agents.backends.torch.model import TorchModel
from apps.agents.backends.torch.tokenizing import FolderEncoder
from apps.agents.contracts.errors.distillation import StudentDiffers


def check_tokens(teacher: TorchModel, student: TorchModel, label: str) -> None:
    """Raises `StudentDiffers` where a text becomes other tokens for `student`, or it cannot read as many of them."""
    if isinstance(teacher.encoder, FolderEncoder) and (why := _difference(teacher.encoder, student)):
        raise StudentDiffers(technique=label, reason=why)


def _difference(wanted: FolderEncoder, student: TorchModel) -> str | None:
    if not isinstance(given := student.encoder, FolderEncoder):
        return "its folder has no tokenizer, and the original's has one"
    if not given.reads_as(wanted):
        return "its tokenizer makes other tokens of a text than the original's"
    if given.context_length < wanted.context_length:
        return f"it reads {given.context_length} tokens, and the original {wanted.context_length}"
    return None
