"""Credentials and certificates: what opens this program and what it calls nodes with."""

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import SecretStr

from auth_min import (
    ClientTls,
    Door,
    Reload,
    ServerTls,
    TlsFiles,
    TokenFile,
    TokenSet,
    TokenSource,
    WatchedFile,
    first_token,
    fixed,
)
from narration_core import get_logger
from orchestratord.config import Settings


class Access:
    """Made of settings; raises AuthError when a credential or a certificate cannot be used."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = get_logger(component="access")
        keys = _source(settings.api_keys, settings.api_keys_file, of_clients=True)
        tokens = _source(settings.api_token, settings.api_token_file, of_clients=False)
        self.clients = self._door(keys, others=tokens)
        """Opens everything but what is for nodes."""
        self.services = self._door(tokens, others=keys)
        """Opens what is for nodes and their operators."""
        self._shown = _shown(settings)
        self._server = (
            None
            if settings.tls_cert is None
            else ServerTls(TlsFiles(settings.tls_cert, settings.tls_key))
        )
        # Without nodes the CAs of the system would be read for nobody, at each start.
        calls = settings.remote_nodes or settings.tls_ca is not None
        self._client = ClientTls(TlsFiles(ca=settings.tls_ca)) if calls else None

    def server_context(self) -> ssl.SSLContext | None:
        """Return what the program listens with; None: in plain text."""
        return None if self._server is None else self._server.context

    def client_context(self) -> ssl.SSLContext:
        """Return what nodes are called with; there has to be one."""
        if self._client is None:
            raise RuntimeError("no node is configured that could be called")
        return self._client.context

    def token(self) -> str | None:
        """Return the token to show: the first, since a new one is rolled in behind the old."""
        return self._shown()

    def renew(self) -> None:
        """Look at the certificates again; files of credentials are looked at with each request."""
        for tls in (self._server, self._client):
            if tls is not None and (seen := tls.reload_if_changed()) is not Reload.UNCHANGED:
                self._log.info("certificates_changed", outcome=seen.value, reason=tls.trouble)

    def warnings(self) -> Iterator[str]:
        """Say what each start must repeat in the log."""
        settings = self._settings
        yield from settings.exposure.warnings()
        if settings.exposure.is_cloud and not (settings.api_keys or settings.api_keys_file):
            yield "no API keys are configured: no client of another machine can come in"
        if settings.exposure.is_cloud and not (settings.api_token or settings.api_token_file):
            yield "no service token is configured: no node of another machine can register"

    def _door(self, opens: TokenSource, *, others: TokenSource) -> Door:
        settings = self._settings
        return Door(
            opens=opens,
            others=others,
            optional_on_loopback=settings.auth_optional,
            trust_proxy=settings.trust_proxy_auth,
        )


def _source(given: SecretStr | None, path: Path | None, *, of_clients: bool) -> TokenSource:
    parse = TokenSet.parse_keys if of_clients else TokenSet.parse
    if path is not None:
        source = TokenFile(path, parse)
        source()  # A file that cannot be used is to be told at the start.
        return source
    return fixed(parse("" if given is None else given.get_secret_value()))


def _shown(settings: Settings) -> Callable[[], str | None]:
    if settings.api_token_file is not None:
        return WatchedFile(settings.api_token_file, first_token)
    given = settings.api_token
    token = None if given is None else first_token(given.get_secret_value())
    return lambda: token
