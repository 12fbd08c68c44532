import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo_model import DEMO, ENDLESS, SLOW, Recital


def test_blanks_separate_tokens_and_tildes_join_words() -> None:
    assert Recital("t", "one two~three four").pieces == (b"one", b" two three", b" four")


def test_alternatives_share_the_place_of_the_greedy_word() -> None:
    (_, step) = Recital("t", "I {run,|walk~on,}").steps
    assert step.choices == (b" run,", b" walk on,")


def test_a_character_beyond_the_basic_plane_becomes_its_bytes() -> None:
    assert Recital("t", "hi 🦙 ho").pieces == (b"hi ", b"\xf0", b"\x9f", b"\xa6", b"\x99", b" ho")


def test_a_token_that_occurs_twice_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="b' two'"):
        _ = Recital("t", "one two three two").steps


def test_half_a_character_at_the_end_is_not_expected() -> None:
    spec = Recital("t", "hi 🦙")
    assert [spec.expected_text(n) for n in (1, 2, 4, 5)] == ["hi ", "hi ", "hi ", "hi 🦙"]


def test_an_endless_recital_goes_round_and_needs_a_limit() -> None:
    spec = Recital("t", "one two", endless=True)
    assert spec.expected_text(5) == "one two\n\none two"
    assert not spec.ends_within(10_000)
    with pytest.raises(ValueError, match="max_tokens"):
        spec.expected_text()


def test_a_recital_that_ends_needs_one_token_more_than_it_says() -> None:
    assert [Recital("t", "one two").ends_within(n) for n in (2, 3)] == [False, True]


def test_the_demo_offers_a_choice_often_enough_for_seeds_to_matter_soon() -> None:
    assert sum(bool(step.others) for step in DEMO.steps[:64]) >= 12


@pytest.mark.parametrize("spec", [DEMO, ENDLESS, SLOW], ids=lambda spec: spec.name)
@given(data=st.data())
def test_every_walk_through_the_choices_may_be_said(spec: Recital, data: st.DataObject) -> None:
    walk = [data.draw(st.sampled_from(step.choices)) for step in spec.steps[:40]]
    text = b"".join(walk[: data.draw(st.integers(0, 40))]).decode()
    assert spec.may_say(text)
    assert not spec.may_say(text + "?")
