import pytest
from multidict import CIMultiDict

from auth_min import (
    LOCALHOST,
    Door,
    Identity,
    IdentityKind,
    Refusal,
    RefusalCode,
    TokenFile,
    TokenSet,
    fixed,
    is_loopback,
    joined,
    read_credentials,
)

TOKEN, KEY = "t" * 32, "k" * 32
SERVICE, CLIENTS = fixed(TokenSet.parse(TOKEN)), fixed(TokenSet.parse_keys(f"alice:{KEY}"))
NONE = fixed(TokenSet())
ALICE = Identity("key:alice", IdentityKind.KEY)
HERE, THERE = "127.0.0.1", "10.0.0.7"


def headers(**named):
    return CIMultiDict({name.replace("_", "-"): value for name, value in named.items()})


def bearer(secret):
    return headers(Authorization=f"Bearer {secret}")


def code(decision):
    return decision.code if isinstance(decision, Refusal) else decision


service_door = Door(opens=SERVICE, others=CLIENTS)
client_door = Door(opens=CLIENTS, others=SERVICE)
home_door = Door(opens=CLIENTS, others=SERVICE, optional_on_loopback=True)
open_door = Door(opens=NONE, optional_on_loopback=True)


@pytest.mark.parametrize(
    "given",
    [
        bearer(KEY),
        headers(X_API_Key=KEY),
        headers(authorization=f"bearer   {KEY} "),
        headers(Authorization=f"Bearer {KEY}", X_API_Key=KEY),
    ],
)
def test_a_key_is_read_from_both_headers(given):
    assert client_door.admit(given, THERE) == ALICE


def test_headers_that_differ_are_a_bad_token_though_one_of_them_is_right():
    given = headers(Authorization=f"Bearer {KEY}", X_API_Key="k" * 33)
    assert code(client_door.admit(given, THERE)) is RefusalCode.BAD_TOKEN
    twice = CIMultiDict([("X-API-Key", KEY), ("X-API-Key", "other")])
    assert code(client_door.admit(twice, THERE)) is RefusalCode.BAD_TOKEN


def test_no_credential_is_told_from_a_wrong_one():
    assert code(client_door.admit(headers(), THERE)) is RefusalCode.MISSING_TOKEN
    assert code(client_door.admit(bearer(""), THERE)) is RefusalCode.MISSING_TOKEN
    assert code(client_door.admit(bearer("wrong"), THERE)) is RefusalCode.BAD_TOKEN
    basic = headers(Authorization="Basic dXNlcjpwYXNz")
    assert code(client_door.admit(basic, THERE)) is RefusalCode.BAD_TOKEN


def test_a_client_key_never_opens_a_service_route_nor_the_service_token_a_client_route():
    assert code(service_door.admit(bearer(KEY), THERE)) is RefusalCode.FORBIDDEN
    assert code(client_door.admit(bearer(TOKEN), THERE)) is RefusalCode.FORBIDDEN
    assert service_door.admit(bearer(TOKEN), THERE).kind is IdentityKind.SERVICE


def test_a_caller_of_this_machine_needs_none_only_where_it_is_optional():
    assert home_door.admit(headers(), HERE) == LOCALHOST
    assert code(client_door.admit(headers(), HERE)) is RefusalCode.MISSING_TOKEN
    assert code(home_door.admit(headers(), THERE)) is RefusalCode.MISSING_TOKEN


def test_a_presented_credential_is_always_checked_once_any_is_configured():
    assert code(home_door.admit(bearer("sk-anything"), HERE)) is RefusalCode.BAD_TOKEN
    assert home_door.admit(bearer(KEY), HERE) == ALICE
    only_others = Door(opens=NONE, others=SERVICE, optional_on_loopback=True)
    assert code(only_others.admit(bearer("sk-anything"), HERE)) is RefusalCode.BAD_TOKEN


def test_with_none_configured_a_presented_one_is_ignored_on_this_machine_alone():
    assert open_door.admit(bearer("sk-anything"), HERE) == LOCALHOST
    contradicting = headers(Authorization="Bearer sk-a", X_API_Key="sk-b")
    assert open_door.admit(contradicting, HERE) == LOCALHOST
    assert code(open_door.admit(bearer("sk-anything"), THERE)) is RefusalCode.BAD_TOKEN
    assert code(open_door.admit(headers(), THERE)) is RefusalCode.MISSING_TOKEN


@pytest.mark.parametrize(
    "name", ["Forwarded", "X-Forwarded-For", "x-forwarded-proto", "X-Real-IP", "Via"]
)
def test_what_a_proxy_has_passed_on_is_never_loopback_unless_it_is_trusted(name):
    passed_on = CIMultiDict({name: "10.0.0.7"})
    assert code(home_door.admit(passed_on, HERE)) is RefusalCode.MISSING_TOKEN
    trusting = Door(opens=CLIENTS, optional_on_loopback=True, trust_proxy=True)
    assert trusting.admit(passed_on, HERE) == LOCALHOST
    assert code(trusting.admit(passed_on, THERE)) is RefusalCode.MISSING_TOKEN


def test_a_key_is_good_through_a_proxy_too():
    given = headers(Authorization=f"Bearer {KEY}", X_Forwarded_For="10.0.0.7")
    assert home_door.admit(given, HERE) == ALICE


def test_no_refusal_repeats_what_was_presented():
    for given in (bearer("wrong-secret"), headers(X_API_Key="wrong-secret")):
        assert "wrong-secret" not in client_door.admit(given, THERE).message


def test_a_plain_mapping_has_headers_too():
    assert read_credentials({"authorization": f"Bearer {KEY}"}).secrets == {KEY}


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST."]
)
def test_loopback_has_many_names(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [None, "", "0.0.0.0", "::", "10.0.0.1", "fe80::1%eth0", "::ffff:10.0.0.1", "localhost.example"],
)
def test_what_is_not_surely_loopback_is_not(host):
    assert not is_loopback(host)


def test_a_door_lasts_whose_secrets_nobody_can_change(tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    source = TokenFile(tmp_path / "token")
    assert Door(SERVICE).lasting
    assert Door(SERVICE, CLIENTS).lasting
    assert not Door(source).lasting
    assert not Door(SERVICE, joined(CLIENTS, source)).lasting
