"""The shipped suite, on the store without a disk and on the real one."""

from pathlib import Path

import pytest

from artifact_store import ArtifactStore, LocalArtifactStore
from artifact_store.testing import ArtifactStoreContract, MemoryArtifactStore


class TestMemoryStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self) -> ArtifactStore:
        return MemoryArtifactStore(self.LIMITS)


class TestLocalStore(ArtifactStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ArtifactStore:
        return LocalArtifactStore(tmp_path / "artifacts", self.LIMITS)
