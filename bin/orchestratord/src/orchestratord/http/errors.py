"""The one place where an exception becomes an HTTP answer."""

from artifact_store import ArtifactStoreError
from http_shell import ErrorMap
from local_pool_manager import PoolError

ERRORS = ErrorMap(
    (ArtifactStoreError, PoolError),
    not_found="there is nothing at this path; /openapi.json lists what there is",
)
