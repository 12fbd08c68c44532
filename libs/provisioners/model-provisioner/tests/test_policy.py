"""Who may be asked, decided before a connection is made and again on every redirect."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_types import ErrorCode
from model_provisioner import (
    Endpoint,
    ModelProvisioner,
    NetworkPolicy,
    NetworkRefusedError,
    SourceError,
)
from model_provisioner.testing import ModelServer

MakeProvisioner = Callable[..., ModelProvisioner]


@pytest.mark.parametrize(
    ("words", "policy"),
    [
        ("allow", NetworkPolicy.allow()),
        ("deny", NetworkPolicy.deny()),
        ("", NetworkPolicy.deny()),
        (("hf.co", "*.HF.co"), NetworkPolicy(hosts=("hf.co", "*.hf.co"))),
        ("https://a, http://b", NetworkPolicy(hosts=("a", "b"), plain_http_hosts=("b",))),
    ],
)
def test_the_words_of_the_variable_are_read(words: str, policy: NetworkPolicy) -> None:
    assert NetworkPolicy.parse(words) == policy


@pytest.mark.parametrize("words", ["allow,hf.co", "deny,allow", "https://hf.co/models"])
def test_words_that_contradict_are_refused(words: str) -> None:
    with pytest.raises(ValueError):
        NetworkPolicy.parse(words)


@pytest.mark.parametrize(
    ("words", "endpoint", "rule"),
    [
        ("allow", Endpoint("https", "any.example"), None),
        ("allow", Endpoint("http", "any.example"), "plain-http"),
        ("allow", Endpoint("http", "127.1.2.3", 80), None),
        ("allow", Endpoint("http", "::1"), None),
        ("allow", Endpoint("http", "localhost"), None),
        ("allow", Endpoint("http", "localhost.example"), "plain-http"),
        ("deny", Endpoint("http", "localhost"), "deny"),
        ("hf.co,*.hf.co", Endpoint("https", "hf.co"), None),
        ("hf.co,*.hf.co", Endpoint("https", "cdn.hf.co"), None),
        ("hf.co,*.hf.co", Endpoint("https", "evilhf.co"), "hosts"),
        ("*.hf.co", Endpoint("https", "hf.co"), "hosts"),
        ("h:8443", Endpoint("https", "h", 8443), None),
        ("h:8443", Endpoint("https", "h", 443), "hosts"),
        ("http://h", Endpoint("http", "h"), None),
        ("[fd00::1]:8443", Endpoint("https", "fd00::1", 8443), None),
        ("allow", Endpoint("http", "2130706433"), "plain-http"),
    ],
)
def test_a_refusal_names_its_rule(words: str, endpoint: Endpoint, rule: str | None) -> None:
    policy = NetworkPolicy.parse(words)
    if rule is None:
        policy.check(endpoint)
        return
    with pytest.raises(NetworkRefusedError) as caught:
        policy.check(endpoint)
    assert (caught.value.rule, caught.value.policy_label) == (rule, rule)
    assert caught.value.code is ErrorCode.FORBIDDEN


@given(st.sampled_from(["http", "https"]), st.text(max_size=30), st.integers(1, 65535))
def test_deny_refuses_everything(scheme: str, host: str, port: int) -> None:
    with pytest.raises(NetworkRefusedError):
        NetworkPolicy.deny().check(Endpoint(scheme, host, port))


async def test_a_refused_host_is_not_connected_to(
    make: MakeProvisioner, server: ModelServer
) -> None:
    server.files["/m.gguf"] = b""
    with pytest.raises(NetworkRefusedError):
        await make(policy=NetworkPolicy.deny()).ensure(f"{server.url}/m.gguf")
    assert server.requests == []


async def test_a_redirect_to_a_forbidden_host_is_not_followed(
    make: MakeProvisioner, server: ModelServer
) -> None:
    server.redirects["/m.gguf"] = "http://localhost:1/m.gguf"
    policy = NetworkPolicy.parse("127.0.0.1")
    with pytest.raises(NetworkRefusedError, match="localhost:1") as caught:
        await make(policy=policy).ensure(f"{server.url}/m.gguf")
    assert (caught.value.rule, len(server.requests)) == ("hosts", 1)


async def test_a_redirect_from_another_machine_to_this_one_is_refused() -> None:
    with pytest.raises(NetworkRefusedError) as caught:
        NetworkPolicy.allow().check(
            Endpoint("http", "127.0.0.1"), came_from=Endpoint("https", "elsewhere.example")
        )
    assert caught.value.rule == "redirect-to-loopback"


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        ("s3:bucket/m.gguf", "https://s3.us-east-1.amazonaws.com"),
        ("gs:bucket/m.gguf", "https://storage.googleapis.com"),
        ("az:bucket/m.gguf", "https://account.blob.core.windows.net"),
        ("oci:registry.example/m:1", "https://registry.example"),
    ],
)
async def test_the_place_that_is_asked_for_is_the_one_that_would_be_connected_to(
    make: MakeProvisioner, reference: str, place: str
) -> None:
    with pytest.raises(NetworkRefusedError) as caught:
        await make(policy=NetworkPolicy.parse("hf.co")).ensure(reference)
    assert caught.value.place == place


async def test_a_registry_is_asked_without_tls_only_where_the_policy_says_so(
    make: MakeProvisioner,
) -> None:
    for words, scheme in (("http://registry.invalid", "http"), ("registry.invalid", "https")):
        provisioner = make(policy=NetworkPolicy.parse(words), attempts=1)
        with pytest.raises(SourceError, match=f"{scheme}://registry.invalid"):
            await provisioner.ensure("oci:registry.invalid/m:1")


@pytest.mark.parametrize("reference", ["hf:org/repo", "s3:bucket/m.gguf", "oci:127.0.0.1/m:1"])
async def test_every_source_asks_the_policy(make: MakeProvisioner, reference: str) -> None:
    with pytest.raises(NetworkRefusedError):
        await make(policy=NetworkPolicy.deny()).ensure(reference)


def test_a_url_is_judged_as_its_endpoint_is():
    policy = NetworkPolicy.parse("wheels.example")
    assert policy.refusal("https://wheels.example/simple") is None
    assert "not in the policy's list" in policy.refusal("https://other.example/x")
    assert "http:" in NetworkPolicy.allow().refusal("http://wheels.example/x")
