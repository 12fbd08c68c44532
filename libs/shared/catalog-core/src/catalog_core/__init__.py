"""Model references, digests, GGUF headers and the model catalog on disk."""

from catalog_core.catalog import Catalog
from catalog_core.digests import file_digest, parse_digest
from catalog_core.entries import (
    EngineEntry,
    FileStamp,
    GgufHeader,
    ModelEntry,
    ModelState,
    Verdict,
    Verification,
)
from catalog_core.errors import (
    CatalogError,
    CatalogStoreError,
    DigestMismatchError,
    ModelFileError,
    ModelPinnedError,
    ModelReferenceError,
    ModelUnknownError,
)
from catalog_core.gguf_header import parse_gguf_header, read_gguf_header
from catalog_core.references import FETCHED_SCHEMES, ModelRef, RefScheme, derive_model_id

__all__ = [
    "FETCHED_SCHEMES",
    "Catalog",
    "CatalogError",
    "CatalogStoreError",
    "DigestMismatchError",
    "EngineEntry",
    "FileStamp",
    "GgufHeader",
    "ModelEntry",
    "ModelFileError",
    "ModelPinnedError",
    "ModelRef",
    "ModelReferenceError",
    "ModelState",
    "ModelUnknownError",
    "RefScheme",
    "Verdict",
    "Verification",
    "derive_model_id",
    "file_digest",
    "parse_digest",
    "parse_gguf_header",
    "read_gguf_header",
]
