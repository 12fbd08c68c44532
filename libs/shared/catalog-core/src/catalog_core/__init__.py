"""Model references, digests, GGUF headers and the model catalog on disk."""

from catalog_core.catalog import Catalog
from catalog_core.digests import file_digest, parse_digest
from catalog_core.entries import (
    EngineEntry,
    FileStamp,
    GgufHeader,
    LastVerification,
    ModelEntry,
    ModelFile,
    ModelFormat,
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
from catalog_core.gc_plan import (
    DiskFacts,
    FileFact,
    GcAction,
    GcDecision,
    GcPlan,
    GcReason,
    plan_gc,
)
from catalog_core.gc_policy import (
    CatalogGcPolicy,
    DeleteRetired,
    KeepActive,
    KeepPinned,
    KeepRecentlyUsed,
    RetentionRule,
)
from catalog_core.gc_run import GcOutcome, GcResult, GcStep, InUse, observe_disk, purge, run_gc
from catalog_core.gguf_header import parse_gguf_header, read_gguf_header
from catalog_core.references import FETCHED_SCHEMES, ModelRef, RefScheme, derive_model_id

__all__ = [
    "FETCHED_SCHEMES",
    "Catalog",
    "CatalogError",
    "CatalogGcPolicy",
    "CatalogStoreError",
    "DeleteRetired",
    "DigestMismatchError",
    "DiskFacts",
    "EngineEntry",
    "FileFact",
    "FileStamp",
    "GcAction",
    "GcDecision",
    "GcOutcome",
    "GcPlan",
    "GcReason",
    "GcResult",
    "GcStep",
    "GgufHeader",
    "InUse",
    "KeepActive",
    "KeepPinned",
    "KeepRecentlyUsed",
    "LastVerification",
    "ModelEntry",
    "ModelFile",
    "ModelFileError",
    "ModelFormat",
    "ModelPinnedError",
    "ModelRef",
    "ModelReferenceError",
    "ModelState",
    "ModelUnknownError",
    "RefScheme",
    "RetentionRule",
    "Verdict",
    "Verification",
    "derive_model_id",
    "file_digest",
    "observe_disk",
    "parse_digest",
    "parse_gguf_header",
    "plan_gc",
    "purge",
    "read_gguf_header",
    "run_gc",
]
