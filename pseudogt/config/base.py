"""What all config sections share."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A frozen config section in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
