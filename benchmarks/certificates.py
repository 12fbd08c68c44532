"""A certificate for this machine, signed by an authority that only these programs trust."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server shows, and what a client checks it with."""

    chain: Path
    key: Path
    client: ssl.SSLContext


@contextmanager
def certificate() -> Iterator[Certificate]:
    """Make one, on disk as long as the context is open."""
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        made = Certificate(folder / "chain.pem", folder / "key.pem", ssl.create_default_context())
        made.chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(made.key)
        authority.configure_trust(made.client)
        yield made
