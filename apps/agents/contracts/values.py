"""The base of every value that agents exchange: frozen, validated, plain JSON on the outside."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """An immutable record; `model_dump(mode="json")` and `model_validate` carry it through database and pipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")
