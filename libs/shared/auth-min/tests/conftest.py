from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from auth_min import TlsFiles


@dataclass(frozen=True)
class Pki:
    """Writes PEM files of CAs that tests make up."""

    folder: Path

    def files(self, name: str, ca: trustme.CA, trusted: trustme.CA | None = None) -> TlsFiles:
        """Write a certificate of `ca` and its key, and the CA that the other side must have."""
        issued = ca.issue_cert("127.0.0.1", "localhost", common_name=name)
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        self._write(cert, b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self._write(key, issued.private_key_pem.bytes())
        return TlsFiles(cert, key, self.ca(f"{name}-trusts", trusted or ca))

    def ca(self, name: str, ca: trustme.CA) -> Path:
        path = self.folder / f"{name}.pem"
        self._write(path, ca.cert_pem.bytes())
        return path

    def _write(self, path: Path, content: bytes) -> None:
        """Replace the file, so that its stamp differs whatever the clock's tick."""
        fresh = path.with_suffix(".new")
        fresh.write_bytes(content)
        fresh.replace(path)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)
