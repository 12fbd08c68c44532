"""TLS contexts of servers and clients, renewed when their files change."""

import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from auth_min.errors import BadCertificate
from auth_min.files import Stamp, stamp_of


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: a certificate with its chain, its key, and the CAs of the other side."""

    cert: Path | None = None
    key: Path | None = None
    ca: Path | None = None

    def stamps(self) -> tuple[Stamp, ...]:
        """Return what changes when one of the files does."""
        return tuple(stamp_of(path) for path in (self.cert, self.key, self.ca) if path is not None)


def server_context(cert: Path, key: Path, ca: Path | None = None) -> ssl.SSLContext:
    """Make a server's context; with `ca`, a client may show a certificate, but need not.

    Which routes ask for one is the program's to decide. Raises BadCertificate.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, TlsFiles(cert, key, ca))
    if ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        # A resumed session brings the certificate of the first one and is not verified again: a
        # CA that was taken out would be trusted for as long as its tickets are good.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def client_context(
    ca: Path | None = None, cert: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Make a client's context that trusts `ca` alone; without it, the CAs of the system.

    Raises BadCertificate.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT, TlsFiles(cert, key, ca))
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


class Reload(StrEnum):
    """What looking at the files again led to."""

    UNCHANGED = "unchanged"
    RELOADED = "reloaded"
    FAILED = "failed"
    """What was loaded before still serves, and `trouble` says why."""


class _Reloading(ABC):
    """A context and the files that it was made of."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamps = files.stamps()
        self._newest = self._load()
        self.trouble: str | None = None

    @abstractmethod
    def _load(self) -> ssl.SSLContext: ...

    def reload_if_changed(self) -> Reload:
        """Look at the files again, and use them from the next handshake on."""
        stamps = self._files.stamps()
        if stamps == self._stamps:
            return Reload.UNCHANGED
        self._stamps = stamps
        try:
            self._newest = self._load()
        except BadCertificate as error:
            # Certificate and key cannot be replaced in one step: the second change brings both.
            self.trouble = str(error)
            return Reload.FAILED
        self.trouble = None
        return Reload.RELOADED


class ServerTls(_Reloading):
    """What a site listens with; `files` need `cert` and `key`. Raises BadCertificate."""

    def __init__(self, files: TlsFiles) -> None:
        super().__init__(files)
        self._listening = self._load()
        self._listening.sni_callback = self._choose

    @property
    def context(self) -> ssl.SSLContext:
        """The context to listen with: one object for ever, whose handshakes use the newest files.

        Connections that stand are not touched. The callback comes with or without a server name.
        """
        return self._listening

    def _choose(
        self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext
    ) -> None:
        connection.context = self._newest

    def _load(self) -> ssl.SSLContext:
        if self._files.cert is None or self._files.key is None:
            raise BadCertificate("a server needs a certificate and its key")
        return server_context(self._files.cert, self._files.key, self._files.ca)


class ClientTls(_Reloading):
    """What a client calls with. Raises BadCertificate."""

    @property
    def context(self) -> ssl.SSLContext:
        """The newest context; take it anew for each request, it tells connections apart."""
        return self._newest

    def _load(self) -> ssl.SSLContext:
        return client_context(self._files.ca, self._files.cert, self._files.key)


def _context(protocol: int, files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if (files.cert is None) != (files.key is None):
        raise BadCertificate("a certificate and its key belong together: one of them is missing")
    try:
        if files.cert is not None and files.key is not None:
            context.load_cert_chain(files.cert, files.key, password=_no_password)
        if files.ca is not None:
            context.load_verify_locations(files.ca)
    except (OSError, ValueError) as error:
        named = ", ".join(str(path) for path in (files.cert, files.key, files.ca) if path)
        raise BadCertificate(f"cannot be loaded: {named}: {error}") from error
    return context


def _no_password() -> str:
    """Keep OpenSSL from asking at the terminal for the password of an encrypted key."""
    raise ValueError("the key is encrypted, and there is nobody to ask for its password")
