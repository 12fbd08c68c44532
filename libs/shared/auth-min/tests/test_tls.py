import asyncio
import ssl
from contextlib import asynccontextmanager

import pytest
import trustme

from auth_min import (
    BadCertificate,
    ClientTls,
    Reload,
    ServerTls,
    TlsFiles,
    client_context,
    server_context,
)


@asynccontextmanager
async def listening(context):
    """Serve the name in each client's certificate; gives the port."""

    async def answer(reader, writer):
        try:
            await reader.readline()
            shown = writer.get_extra_info("peercert")
            writer.write(f"{name_in(shown) if shown else 'nobody'}\n".encode())
            await writer.drain()
        except (ssl.SSLError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def call(port, context):
    """Return the name in the server's certificate, and whom it takes us for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(b"hello\n")
        await writer.drain()
        seen = (await reader.readline()).decode().strip()
        if not seen:
            raise ConnectionResetError("the server has hung up")
        return name_in(writer.get_extra_info("peercert")), seen
    finally:
        writer.close()


def name_in(certificate):
    fields = dict(pair for group in certificate["subject"] for pair in group)
    return fields["commonName"]


REFUSED = (ssl.SSLError, ConnectionError)


@pytest.fixture
def fleet():
    return trustme.CA()


@pytest.fixture
def strangers():
    return trustme.CA()


async def test_a_client_certificate_is_optional_and_shown_to_the_program(pki, fleet):
    server, node = pki.files("server", fleet), pki.files("node", fleet)
    async with listening(server_context(server.cert, server.key, server.ca)) as port:
        assert await call(port, client_context(node.ca)) == ("server", "nobody")
        assert await call(port, client_context(node.ca, node.cert, node.key)) == ("server", "node")


async def test_a_client_certificate_of_strangers_is_refused(pki, fleet, strangers):
    server = pki.files("server", fleet)
    stranger = pki.files("stranger", strangers, trusted=fleet)
    async with listening(server_context(server.cert, server.key, server.ca)) as port:
        with pytest.raises(REFUSED):
            await call(port, client_context(stranger.ca, stranger.cert, stranger.key))


async def test_without_a_ca_no_client_certificate_is_asked_for(pki, fleet):
    server, node = pki.files("server", fleet), pki.files("node", fleet)
    async with listening(server_context(server.cert, server.key)) as port:
        assert await call(port, client_context(node.ca, node.cert, node.key)) == (
            "server",
            "nobody",
        )


async def test_a_server_of_strangers_is_refused_by_the_client(pki, fleet, strangers):
    server, node = pki.files("server", strangers), pki.files("node", fleet)
    async with listening(server_context(server.cert, server.key)) as port:
        for context in (client_context(node.ca), client_context()):
            with pytest.raises(ssl.SSLCertVerificationError):
                await call(port, context)


async def test_old_protocols_are_refused(pki, fleet):
    server = pki.files("server", fleet)
    context = server_context(server.cert, server.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert client_context().minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_new_certificate_serves_new_connections_without_a_restart(pki, fleet):
    files = pki.files("server", fleet)
    tls = ServerTls(files)
    trusting = client_context(files.ca)
    async with listening(tls.context) as port:
        assert (await call(port, trusting))[0] == "server"
        assert tls.reload_if_changed() is Reload.UNCHANGED
        renewed = pki.files("renewed", fleet)
        renewed.cert.replace(files.cert)
        renewed.key.replace(files.key)
        assert tls.reload_if_changed() is Reload.RELOADED
        assert (await call(port, trusting))[0] == "renewed"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_ca_that_is_taken_out_is_trusted_no_more(pki, fleet, strangers, version):
    files, old = pki.files("server", fleet), pki.files("old", fleet)
    new = pki.files("new", strangers, trusted=fleet)
    tls = ServerTls(files)

    def calling(client):
        context = client_context(client.ca, client.cert, client.key)
        context.maximum_version = version
        return context

    async with listening(tls.context) as port:
        assert (await call(port, calling(old)))[1] == "old"
        with pytest.raises(REFUSED):
            await call(port, calling(new))
        pki.ca("server-trusts", strangers)
        assert tls.reload_if_changed() is Reload.RELOADED
        with pytest.raises(REFUSED):
            await call(port, calling(old))
        assert (await call(port, calling(new)))[1] == "new"


def handshake(server, client, session=None):
    """Connect the two in memory; returns the server's view of the client, and the session."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = client.wrap_bio(down, up, server_hostname="127.0.0.1", session=session)
    unfinished = [theirs.do_handshake, ours.do_handshake, lambda: ours.write(b"."), theirs.read]
    while unfinished:
        for step in unfinished[:2]:
            try:
                step()
            except ssl.SSLWantReadError:
                continue
            unfinished.remove(step)
    return ours.getpeercert(), theirs.session


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_does_not_outlive_the_ca_that_it_was_made_with(pki, fleet, strangers, version):
    node = pki.files("node", fleet)
    tls = ServerTls(pki.files("server", fleet))
    client = client_context(node.ca, node.cert, node.key)
    client.maximum_version = version
    shown, session = handshake(tls.context, client)
    assert name_in(shown) == "node"
    pki.ca("server-trusts", strangers)
    tls.reload_if_changed()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tls.context, client, session)


async def test_a_half_written_rotation_keeps_what_was_there(pki, fleet):
    files = pki.files("server", fleet)
    tls = ServerTls(files)
    renewed = pki.files("renewed", fleet)
    renewed.cert.replace(files.cert)
    assert tls.reload_if_changed() is Reload.FAILED
    assert str(files.cert) in tls.trouble
    assert tls.reload_if_changed() is Reload.UNCHANGED
    async with listening(tls.context) as port:
        assert (await call(port, client_context(files.ca)))[0] == "server"
    renewed.key.replace(files.key)
    assert tls.reload_if_changed() is Reload.RELOADED
    assert tls.trouble is None


async def test_a_client_shows_its_renewed_certificate(pki, fleet):
    server, files = pki.files("server", fleet), pki.files("node", fleet)
    tls = ClientTls(files)
    async with listening(server_context(server.cert, server.key, server.ca)) as port:
        assert (await call(port, tls.context))[1] == "node"
        renewed = pki.files("renewed", fleet)
        renewed.cert.replace(files.cert)
        renewed.key.replace(files.key)
        assert tls.reload_if_changed() is Reload.RELOADED
        assert (await call(port, tls.context))[1] == "renewed"


def test_what_cannot_be_loaded_is_an_error_that_names_the_files(pki, fleet, tmp_path):
    files = pki.files("server", fleet)
    other = pki.files("other", fleet)
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for bad in (
        TlsFiles(files.cert, tmp_path / "none.key"),
        TlsFiles(files.cert, other.key),
        TlsFiles(broken, files.key),
        TlsFiles(files.cert, files.key, broken),
    ):
        with pytest.raises(BadCertificate, match=str(tmp_path)):
            ServerTls(bad)


def test_a_certificate_without_its_key_is_an_error(pki, fleet):
    files = pki.files("server", fleet)
    with pytest.raises(BadCertificate, match="needs a certificate and its key"):
        ServerTls(TlsFiles(files.cert))
    with pytest.raises(BadCertificate, match="belong together"):
        ClientTls(TlsFiles(files.cert))


def test_an_encrypted_key_is_an_error_and_asks_nobody(pki, fleet):
    files = pki.files("server", fleet)
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(BadCertificate, match="encrypted"):
        ServerTls(files)
