"""The base class of every value that agents exchange: frozen, validated, and stored as plain JSON."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable record. `model_dump(mode="json")` writes it to a database or pipe, and `model_validate` reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")
