"""What tables of the settings have in common."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from outdial.config import checks

Codecs = Annotated[list[Literal["PCMU", "PCMA", "G722", "opus"]], AfterValidator(checks.each_once)]


class Section(BaseModel):
    """A table: it takes no setting that it does not know, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
