"""Opens the source that a reference names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from catalog_core import (
    HubLocation,
    ModelRef,
    ModelReferenceError,
    ObjectLocation,
    RegistryLocation,
    WebLocation,
)
from model_provisioner.settings import FetchSettings
from model_provisioner.sources.hub import Hub
from model_provisioner.sources.objects import Bucket
from model_provisioner.sources.port import Source
from model_provisioner.sources.registry import Registry
from model_provisioner.sources.website import Website
from model_provisioner.web import WebClient


@asynccontextmanager
async def open_source(reference: ModelRef, settings: FetchSettings) -> AsyncIterator[Source]:
    """The source of a reference other than `file:`; its connections end with the context."""
    place = reference.place
    if isinstance(place, ObjectLocation):
        yield Bucket(reference.scheme, place, settings)
        return
    async with WebClient.running(settings) as client:
        match place:
            case WebLocation():
                yield Website(client, place)
            case HubLocation():
                yield Hub(client, place, settings)
            case RegistryLocation():
                yield Registry(client, place, settings)
            case _:
                raise ModelReferenceError(str(reference), "nothing is fetched from there")
