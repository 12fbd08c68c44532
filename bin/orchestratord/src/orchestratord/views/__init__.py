"""What clients are shown of catalog, machine and pools."""

from orchestratord.views.machine import API_VERSION, LocalMachine
from orchestratord.views.models import CatalogModels

__all__ = ["API_VERSION", "CatalogModels", "LocalMachine"]
