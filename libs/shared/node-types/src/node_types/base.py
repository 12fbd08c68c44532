"""The base models and identifiers that every wire type of llama-orch is made of.

A model is built when it is first used: a program that starts speaks few of them.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

ID_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""What a node, pool, replica or model id looks like."""

Identifier = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Milliseconds = Annotated[int, "a duration or a Unix time in milliseconds"]


class ServiceModel(BaseModel):
    """A message between services: immutable, and unknown fields are ignored.

    Ignoring them lets two versions differ by one (2-http-api).
    """

    model_config = ConfigDict(
        frozen=True, extra="ignore", ser_json_inf_nan="null", defer_build=True
    )


class ClientModel(BaseModel):
    """A message from a client: immutable, and an unknown field is an error that names it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="null", defer_build=True
    )
