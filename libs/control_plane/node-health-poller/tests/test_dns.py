import asyncio
import getpass
import os
import shutil

import pytest

from node_health_poller import SrvResolver, Unanswered

NAME = "_llorch._tcp.example"
NXDOMAIN, SERVFAIL = 3, 2


async def test_every_record_is_a_member(name_server):
    name_server.records = [("gpu-b.example", 9201), ("gpu-a.example", 9200)]
    async with SrvResolver(["127.0.0.1"], port=name_server.port) as resolver:
        found = await resolver.resolve(NAME)
    assert found == (("gpu-a.example", 9200), ("gpu-b.example", 9201))


@pytest.mark.parametrize("code", [0, NXDOMAIN])
async def test_a_name_without_records_has_no_members(name_server, code):
    name_server.code = code
    async with SrvResolver(["127.0.0.1"], port=name_server.port) as resolver:
        assert await resolver.resolve(NAME) == ()


async def test_the_root_as_target_says_that_the_service_is_not_offered(name_server):
    name_server.records = [(".", 0)]
    async with SrvResolver(["127.0.0.1"], port=name_server.port) as resolver:
        assert await resolver.resolve(NAME) == ()


async def test_a_name_server_that_fails_has_not_answered(name_server):
    name_server.code = SERVFAIL
    async with SrvResolver(["127.0.0.1"], port=name_server.port) as resolver:
        with pytest.raises(Unanswered, match=NAME):
            await resolver.resolve(NAME)


async def test_a_name_server_that_is_silent_is_given_up(name_server):
    name_server.silent = True
    async with SrvResolver(["127.0.0.1"], port=name_server.port, timeout_ms=100) as resolver:
        with pytest.raises(Unanswered):
            await resolver.resolve(NAME)


@pytest.mark.servers
async def test_a_real_name_server_gives_every_member(tmp_path, unused_udp_port):
    """dnsmasq of Debian's dnsmasq-base."""
    dnsmasq = shutil.which("dnsmasq", path=f"{os.environ['PATH']}:/usr/sbin")
    assert dnsmasq is not None, "dnsmasq-base is not installed"
    server = await asyncio.create_subprocess_exec(
        dnsmasq,
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--local=/example/",
        "--bind-interfaces",
        "--listen-address=127.0.0.1",
        f"--port={unused_udp_port}",
        f"--pid-file={tmp_path / 'pid'}",
        *(f"--srv-host={NAME},gpu-{number}.example,9200" for number in range(60)),
        f"--user={getpass.getuser()}",
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        resolver = SrvResolver(["127.0.0.1"], port=unused_udp_port)
        async with asyncio.timeout(10), resolver:
            found = await answered(resolver)
            assert len(found) == 60
            assert ("gpu-7.example", 9200) in found
            assert await resolver.resolve("_other._tcp.example") == ()
    finally:
        server.terminate()
        await server.wait()


async def answered(resolver):
    """Ask until the server is up."""
    while True:
        try:
            return await resolver.resolve(NAME)
        except Unanswered:
            continue
