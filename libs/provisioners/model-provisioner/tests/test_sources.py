"""Hub, registry and object store, each on a server of its own."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from catalog_core import DigestMismatchError, ModelFormat
from catalog_core.testing import gguf_bytes
from model_provisioner import ModelProvisioner, NetworkRefusedError, SourceError, SourceMissingError
from model_provisioner.testing import COMMIT, ModelServer

MakeProvisioner = Callable[..., ModelProvisioner]
REPO = "org/tiny"


def safetensors(count: int) -> bytes:
    """A file of one vector of 16-bit numbers."""
    tensors = {"w": {"dtype": "F16", "shape": [count], "data_offsets": [0, 2 * count]}}
    head = json.dumps(tensors).encode()
    return len(head).to_bytes(8, "little") + head + bytes(2 * count)


async def test_one_file_of_a_hub_is_fetched_at_one_commit(
    make: MakeProvisioner, server: ModelServer, weights: bytes
) -> None:
    server.add_repository(REPO, {"q4/tiny.gguf": weights, "README.md": b"# tiny"})
    server.faults.cuts = [10_000_000, 1_000_000]
    entry = await make().ensure("hf:org/tiny/q4/tiny.gguf")
    assert entry.path.read_bytes() == weights
    assert (entry.id, entry.reference) == ("tiny", "hf:org/tiny/q4/tiny.gguf")
    assert {f"/{REPO}/resolve/{COMMIT}/q4/tiny.gguf"} == {
        request.path for request in server.requests if "resolve" in request.path
    }


async def test_a_repository_with_one_model_needs_no_path(
    make: MakeProvisioner, server: ModelServer
) -> None:
    files = {"tiny.gguf": gguf_bytes(), "mmproj-tiny.gguf": b"projector", "README.md": b""}
    server.add_repository(REPO, files)
    assert (await make().ensure("hf:org/tiny@main")).path.name == "tiny.gguf"


async def test_a_repository_with_several_models_tells_them(
    make: MakeProvisioner, server: ModelServer
) -> None:
    server.add_repository(REPO, {"q4.gguf": b"", "q8.gguf": b""})
    with pytest.raises(SourceMissingError, match="2 models") as caught:
        await make().ensure("hf:org/tiny")
    assert caught.value.candidates == ("hf:org/tiny/q4.gguf", "hf:org/tiny/q8.gguf")
    with pytest.raises(SourceMissingError) as caught:
        await make().ensure("hf:org/tiny/q5.gguf")
    assert caught.value.candidates == ("hf:org/tiny/q8.gguf", "hf:org/tiny/q4.gguf")


async def test_a_safetensors_repository_is_one_entry_of_several_files(
    make: MakeProvisioner, server: ModelServer
) -> None:
    config = {"model_type": "llama", "max_position_embeddings": 64, "torch_dtype": "float16"}
    files = {
        "config.json": json.dumps(config).encode(),
        "model-00001-of-00002.safetensors": safetensors(300_000),
        "model-00002-of-00002.safetensors": safetensors(7),
        "tokenizer.json": b"{}",
        "pytorch_model.bin": b"a pickle, which is not fetched",
    }
    server.add_repository(REPO, files)
    entry = await make().ensure("hf:org/tiny")
    assert (entry.format, entry.path) == (ModelFormat.SAFETENSORS, entry.store_path)
    assert sorted(file.path.name for file in entry.files) == sorted(
        name for name in files if not name.endswith(".bin")
    )
    assert (entry.header.architecture, entry.header.context_length) == ("llama", 64)
    assert entry.header.parameter_count == 300_007
    asked = len(server.requests)
    assert await make().ensure("hf:org/tiny") == entry
    assert len(server.requests) == asked
    by_folder = await make().ensure(f"file:{entry.path}")
    assert by_folder.digest == entry.digest


async def test_content_that_is_not_what_the_hub_promised_is_refused(
    make: MakeProvisioner, server: ModelServer, store: Path
) -> None:
    server.add_repository(REPO, {"tiny.gguf": gguf_bytes()})
    server.files[f"/{REPO}/resolve/{COMMIT}/tiny.gguf"] = gguf_bytes({"general.architecture": "x"})
    with pytest.raises(DigestMismatchError):
        await make().ensure("hf:org/tiny")
    assert list(store.rglob("*.gguf")) == []


async def test_a_digest_that_the_hub_cannot_fulfil_is_refused_before_the_first_byte(
    make: MakeProvisioner, server: ModelServer
) -> None:
    server.add_repository(REPO, {"tiny.gguf": gguf_bytes()})
    with pytest.raises(DigestMismatchError):
        await make().ensure("hf:org/tiny", expected_digest="0" * 64)
    assert not any("resolve" in request.path for request in server.requests)


async def test_a_token_is_shown_to_the_hub_and_to_nobody_else(
    make: MakeProvisioner, server: ModelServer
) -> None:
    async with ModelServer.running() as elsewhere:
        server.add_repository(REPO, {"tiny.gguf": gguf_bytes()})
        path = f"/{REPO}/resolve/{COMMIT}/tiny.gguf"
        server.redirects[path] = f"{elsewhere.url}/blob"
        elsewhere.files["/blob"] = gguf_bytes()
        await make(hub_token="secret").ensure("hf:org/tiny")
        assert {each.headers.get("Authorization") for each in server.requests} == {"Bearer secret"}
        assert [each.headers.get("Authorization") for each in elsewhere.requests] == [None]


async def test_names_that_lead_out_of_the_folder_are_refused(
    make: MakeProvisioner, server: ModelServer
) -> None:
    server.add_repository(REPO, {"../../m.gguf": gguf_bytes()})
    with pytest.raises(SourceError, match="no plain relative path"):
        await make().ensure("hf:org/tiny")


async def test_the_hub_of_these_tests_serves_the_real_client(
    server: ModelServer, tmp_path: Path
) -> None:
    server.add_repository(REPO, {"tiny.gguf": gguf_bytes()})
    arguments = {"cache_dir": tmp_path, "endpoint": server.url}
    found = await asyncio.to_thread(hf_hub_download, REPO, "tiny.gguf", **arguments)
    assert Path(found).read_bytes() == gguf_bytes()
    with pytest.raises(HfHubHTTPError):
        await asyncio.to_thread(hf_hub_download, REPO, "no.gguf", **arguments)


async def test_an_artifact_of_a_registry_is_fetched_by_tag_and_by_digest(
    make: MakeProvisioner, server: ModelServer, weights: bytes
) -> None:
    digest = server.add_artifact("models/tiny", "v1", {"tiny.gguf": weights, "LICENSE": b"free"})
    server.faults.cuts = [100_000_000, 5_000_000]
    entry = await make().ensure(f"oci:{server.address}/models/tiny:v1")
    assert (entry.id, entry.path.read_bytes()) == ("tiny-v1", weights)
    by_digest = await make().ensure(f"oci:{server.address}/models/tiny@{digest}")
    assert by_digest.digest == entry.digest


async def test_a_registry_that_wants_a_token_names_where_to_get_it(
    make: MakeProvisioner, server: ModelServer
) -> None:
    server.add_artifact("tiny", "latest", {"tiny.gguf": gguf_bytes()})
    challenge = f'Bearer realm="{server.url}/token",service="registry",scope="repository:tiny:pull"'
    server.faults.statuses = [(401, {"WWW-Authenticate": challenge})]
    server.files["/token"] = b'{"token": "for-all"}'
    login = {server.address: ("me", "secret")}
    await make(registry_credentials=login).ensure(f"oci:{server.address}/tiny")
    sent = {each.path: each.headers.get("Authorization") for each in server.requests}
    assert sent.pop("/token") == "Basic bWU6c2VjcmV0"
    assert set(sent.values()) == {"Bearer for-all"}
    (token,) = (each for each in server.requests if each.path == "/token")
    assert token.query_string == "service=registry&scope=repository:tiny:pull"


async def test_a_token_that_expires_on_the_way_is_renewed(
    make: MakeProvisioner, server: ModelServer, weights: bytes
) -> None:
    server.add_artifact("tiny", "latest", {"tiny.gguf": weights})
    challenge = {"WWW-Authenticate": f'Bearer realm="{server.url}/token"'}
    server.files["/token"] = b'{"access_token": "for-all"}'
    server.faults.statuses = [(401, challenge)]

    async def expire(path: str) -> None:
        if "blobs" in path and not server.faults.cuts:
            server.faults.before_body = None
            server.faults.cuts = [5_000_000]
            server.faults.statuses = [(401, {}), (401, challenge)]

    server.faults.before_body = expire
    entry = await make().ensure(f"oci:{server.address}/tiny")
    assert entry.path.read_bytes() == weights
    assert [each.path for each in server.requests].count("/token") == 2


async def test_a_registry_may_not_send_us_to_a_forbidden_host(
    make: MakeProvisioner, server: ModelServer
) -> None:
    challenge = 'Bearer realm="http://elsewhere.example/token"'
    server.faults.statuses = [(401, {"WWW-Authenticate": challenge})]
    with pytest.raises(NetworkRefusedError, match="elsewhere"):
        await make().ensure(f"oci:{server.address}/tiny")


async def test_a_manifest_that_is_not_of_its_digest_is_refused(
    make: MakeProvisioner, server: ModelServer
) -> None:
    digest = server.add_artifact("tiny", "v1", {"tiny.gguf": gguf_bytes()})
    server.files[f"/v2/tiny/manifests/{digest}"] = b'{"layers": []}'
    with pytest.raises(SourceError, match="has the digest"):
        await make().ensure(f"oci:{server.address}/tiny@{digest}")


@pytest.fixture
async def s3() -> AsyncIterator[str]:
    """The address of a real S3 server with a bucket."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(30):
            async for line in process.stderr:
                if found := re.search(rb"http://127\.0\.0\.1:\d+", line):
                    break
        url = found[0].decode()  # type: ignore[index]
        async with aiohttp.ClientSession() as session:
            await session.put(f"{url}/bucket")
            await session.put(f"{url}/bucket/models/tiny.gguf", data=gguf_bytes())
        yield url
    finally:
        process.kill()
        await process.communicate()


async def test_an_object_is_fetched_from_s3(make: MakeProvisioner, s3: str) -> None:
    options = {"endpoint": s3, "access_key_id": "x", "secret_access_key": "x"}
    provisioner = make(object_store_options={"s3": options})
    entry = await provisioner.ensure("s3://bucket/models/tiny.gguf")
    assert (entry.id, entry.path.read_bytes()) == ("tiny", gguf_bytes())
    below = await provisioner.ensure("s3:bucket/models/")
    assert (below.id, below.digest) == ("models", entry.digest)
    with pytest.raises(SourceMissingError):
        await provisioner.ensure("s3:bucket/no.gguf")


@pytest.mark.parametrize(
    ("scheme", "option"), [("s3", "endpoint"), ("gs", "base_url"), ("az", "endpoint")]
)
async def test_a_cut_object_is_gone_on_with(
    make: MakeProvisioner, server: ModelServer, weights: bytes, scheme: str, option: str
) -> None:
    server.files["/bucket/tiny.gguf"] = weights
    server.faults.cuts = [5_000_000]
    options = {option: server.url, "skip_signature": "true"}
    if scheme == "az":
        options["account_name"] = "account"
    provisioner = make(object_store_options={scheme: options})
    entry = await provisioner.ensure(f"{scheme}:bucket/tiny.gguf")
    assert entry.path.read_bytes() == weights
    assert any(server.bodies("/bucket/tiny.gguf"))


async def test_an_option_that_the_store_does_not_know_is_told(make: MakeProvisioner) -> None:
    provisioner = make(object_store_options={"s3": {"colour": "blue"}})
    with pytest.raises(SourceError, match="colour"):
        await provisioner.ensure("s3:bucket/tiny.gguf")
