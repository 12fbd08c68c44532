import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_min import BadSecret, Identity, IdentityKind, TokenSet, fingerprint

ONE, TWO = "a" * 32, "b" * 40
secrets = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=",#"), min_size=32
)


def test_each_of_several_tokens_is_known_by_its_fingerprint():
    tokens = TokenSet.parse(f"{ONE}, {TWO}\n")
    assert [tokens.find(token) for token in (ONE, TWO)] == [
        Identity(fingerprint(ONE), IdentityKind.SERVICE),
        Identity(fingerprint(TWO), IdentityKind.SERVICE),
    ]
    assert tokens.find("c" * 32) is None
    assert tokens.find(None) is None


def test_a_fingerprint_is_six_hexadecimal_digits_and_not_the_token():
    name = fingerprint(ONE)
    prefix, _, digits = name.partition(":")
    assert (prefix, len(digits)) == ("token", 6)
    assert int(digits, 16) >= 0
    assert ONE not in name


def test_comment_lines_and_empty_lines_hold_no_token():
    assert len(TokenSet.parse(f"# rolled in today\n{ONE}\n\n  # the old one\n{TWO}\n")) == 2
    assert len(TokenSet.parse("  \n")) == 0


@pytest.mark.parametrize("text", ["short", f"{ONE} {'x' * 31}", f"{'ü' * 40}"])
def test_what_is_no_good_token_is_refused_without_being_shown(text):
    with pytest.raises(BadSecret) as caught:
        TokenSet.parse(text)
    assert "short" not in str(caught.value)
    assert "xxx" not in str(caught.value)
    assert "üüü" not in str(caught.value)


def test_a_named_key_is_an_identity():
    keys = TokenSet.parse_keys(f"alice:{ONE}\nbob:{TWO}")
    assert keys.find(ONE) == Identity("key:alice", IdentityKind.KEY)
    assert str(keys.find(TWO)) == "key:bob"


def test_one_name_may_have_two_keys_while_one_is_rolled_in():
    keys = TokenSet.parse_keys(f"alice:{ONE}\nalice:{TWO}")
    assert keys.find(ONE) == keys.find(TWO)


def test_a_key_may_hold_colons():
    key = ":".join("k" * 20)
    assert TokenSet.parse_keys(f"alice:{key}").find(key) is not None


@pytest.mark.parametrize(
    "text", [ONE, f":{ONE}", f"two words:{ONE}", "alice:short", f"alice:{ONE},bob:{ONE}"]
)
def test_what_is_no_named_key_is_refused_without_being_shown(text):
    with pytest.raises(BadSecret) as caught:
        TokenSet.parse_keys(text)
    assert ONE not in str(caught.value)


def test_no_secret_shows_in_a_representation():
    assert ONE not in repr(TokenSet.parse(ONE))
    assert repr(TokenSet.parse_keys(f"alice:{ONE}")) == "TokenSet(key:alice)"


def test_sets_of_the_same_secrets_are_equal_and_can_be_joined():
    one, two = TokenSet.parse(ONE), TokenSet.parse_keys(f"bob:{TWO}")
    both = TokenSet.union([one, two])
    assert (both.find(ONE), both.find(TWO)) == (one.find(ONE), two.find(TWO))
    assert one == TokenSet.parse(f"{ONE},{ONE}")
    assert hash(one) == hash(TokenSet.parse(ONE))


@given(secrets, st.text())
def test_only_the_token_itself_is_found(token, other):
    tokens = TokenSet.parse(token)
    assert tokens.find(token) is not None
    assert (tokens.find(other) is not None) == (other == token)


def test_every_token_is_compared_whatever_was_presented(monkeypatch):
    """The number of comparisons is the only thing that a stranger could measure."""
    counted = []

    def counting(one: bytes, other: bytes) -> bool:
        counted.append((len(one), len(other)))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", counting)
    tokens = TokenSet.parse(f"{ONE} {TWO}")
    for presented in (ONE, TWO, None, "", "x" * 10_000):
        counted.clear()
        tokens.find(presented)
        assert counted == [(32, 32), (32, 32)]
