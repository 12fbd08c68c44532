import pytest

from auth_min import BadSecret, TokenFile, TokenSet, WatchedFile, first_token, fixed, joined

ONE, TWO = "a" * 32, "b" * 32


def replace(path, text):
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"{ONE}\n")
    return path


def test_a_token_is_rolled_in_and_the_old_one_out_without_a_restart(path):
    tokens = TokenFile(path)
    assert tokens().find(ONE)
    replace(path, f"{ONE}\n{TWO}\n")
    assert tokens().find(ONE)
    assert tokens().find(TWO)
    replace(path, f"{TWO}\n")
    assert tokens().find(ONE) is None


def test_an_unchanged_file_is_not_read_again(path):
    tokens = TokenFile(path)
    assert tokens() is tokens()


@pytest.mark.parametrize("broken", ["", "too short", "# nothing\n"])
def test_a_file_that_becomes_bad_locks_nobody_out(path, broken):
    tokens = TokenFile(path)
    tokens()
    replace(path, broken)
    assert tokens().find(ONE)
    assert str(path) in tokens.trouble
    replace(path, TWO)
    assert tokens().find(TWO)
    assert tokens.trouble is None


def test_a_file_that_vanishes_locks_nobody_out(path):
    tokens = TokenFile(path)
    tokens()
    path.unlink()
    assert tokens().find(ONE)
    assert tokens.trouble is not None
    path.write_text(TWO)
    assert tokens().find(TWO)


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_a_file_that_is_bad_from_the_start_is_an_error(path, content):
    path.write_bytes(content)
    with pytest.raises(BadSecret, match="tokens"):
        TokenFile(path)()


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(BadSecret, match="cannot be read"):
        TokenFile(tmp_path / "none")()


def test_a_file_of_named_keys_is_read_again_too(path):
    path.write_text(f"alice:{ONE}")
    keys = TokenFile(path, TokenSet.parse_keys)
    assert str(keys().find(ONE)) == "key:alice"
    replace(path, f"bob:{ONE}")
    assert str(keys().find(ONE)) == "key:bob"


def test_sources_can_be_joined(path):
    both = joined(TokenFile(path), fixed(TokenSet.parse(TWO)))
    assert both().find(ONE)
    assert both().find(TWO)


def test_the_token_to_show_is_the_first_and_changes_with_its_file(path):
    own = WatchedFile(path, first_token)
    path.write_text(f"# ours\n{ONE}, {TWO}")
    assert own() == ONE
    replace(path, f"{TWO}\n{ONE}")
    assert own() == TWO
    replace(path, "short")
    assert own() == TWO
    assert own.trouble is not None


@pytest.mark.parametrize("text", ["", "# nothing", "short"])
def test_a_token_that_cannot_be_used_is_never_shown(text):
    with pytest.raises(BadSecret):
        first_token(text)
