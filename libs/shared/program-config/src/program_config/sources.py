"""What an operator says of where models come from; programs that fetch them inherit it."""

from typing import Annotated

from pydantic import SecretStr

from program_config.schema import ProgramSettings
from program_config.values import TextList
from program_config.variables import Variable


class SourceSettings(ProgramSettings):
    """Which hosts are asked, and by what right."""

    network_policy: Annotated[TextList, Variable("LLORCH_NETWORK_POLICY")] = ("allow",)
    """`allow`, `deny`, or the hosts from which downloads are allowed."""
    hub_endpoint: Annotated[str, Variable("HF_ENDPOINT")] = "https://huggingface.co"
    """The hub that `hf:` means, under the name that its own client reads."""
    hub_token: Annotated[SecretStr | None, Variable("HF_TOKEN", file_variant=True)] = None
    """Shown to the hub only, for models that it does not give to everybody."""
    s3_endpoint: Annotated[str | None, Variable("AWS_ENDPOINT_URL")] = None
    """The server that `s3:` means; unset: Amazon's. Keys come as always from AWS_ACCESS_KEY_ID…"""
    s3_region: Annotated[str | None, Variable("AWS_REGION")] = None
