"""The models of one machine's disk over HTTP: fetched, kept, verified, collected."""

from model_keeper.collecting import GarbageCollector
from model_keeper.config import DiskSettings
from model_keeper.disk import LocalDisk, Pools
from model_keeper.fetching import CountedProvisioner, Pulls
from model_keeper.handlers import ModelHandlers
from model_keeper.keeping import CatalogKeeper
from model_keeper.needs import Needs
from model_keeper.ports import (
    Disk,
    Disks,
    ModelCollector,
    ModelFetcher,
    ModelKeeper,
    ModelReader,
    ModelStager,
)
from model_keeper.purging import PoolPurger, RestingPools
from model_keeper.reading import CatalogReader, DiskReader
from model_keeper.staging import CacheMetrics, Loads, Staging

__all__ = [
    "CacheMetrics",
    "CatalogKeeper",
    "CatalogReader",
    "CountedProvisioner",
    "Disk",
    "DiskReader",
    "DiskSettings",
    "Disks",
    "GarbageCollector",
    "Loads",
    "LocalDisk",
    "ModelCollector",
    "ModelFetcher",
    "ModelHandlers",
    "ModelKeeper",
    "ModelReader",
    "ModelStager",
    "Needs",
    "PoolPurger",
    "Pools",
    "Pulls",
    "RestingPools",
    "Staging",
]
