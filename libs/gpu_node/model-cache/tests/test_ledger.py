"""Eviction alone: no file, no clock."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from model_cache.ledger import Room, check_invariants, room_for
from model_cache.types import Stage, StagedModel


def staged(model_id, size=10, *, used=0, pinned=False, stage=Stage.STAGED):
    path = Path("/models", model_id)
    return StagedModel(model_id, path, size, stage, size, pinned=pinned, last_used_ms=used)


def test_what_was_used_least_recently_goes_first_and_no_more_than_needed():
    models = [staged("new", used=3), staged("old", used=1), staged("middle", used=2)]
    assert room_for(models, 10, 30) == Room(("old",))
    assert room_for(models, 20, 30) == Room(("old", "middle"))
    assert room_for(models, 10, 40) == Room()


def test_pinned_and_growing_models_stay_and_then_nobody_leaves_in_vain():
    models = [staged("a", pinned=True), staged("b", stage=Stage.STAGING), staged("c")]
    assert room_for(models, 10, 30) == Room(("c",))
    assert room_for(models, 20, 30) == Room((), lacking_bytes=10)


def test_a_model_that_failed_takes_no_memory():
    assert room_for([staged("a", stage=Stage.FAILED)], 10, 10) == Room()


@given(
    st.lists(
        st.builds(
            staged,
            st.sampled_from("abcdefgh"),
            st.integers(1, 50),
            used=st.integers(0, 9),
            pinned=st.booleans(),
            stage=st.sampled_from(list(Stage)),
        ),
        unique_by=lambda model: model.model_id,
    ),
    st.integers(1, 100),
    st.integers(0, 300),
)
def test_whatever_is_held_the_budget_is_kept_and_pins_are_kept(models, size, budget):
    room = room_for(models, size, budget)
    gone = {model.model_id: model for model in models if model.model_id in room.evict}
    assert not any(model.pinned or model.stage is not Stage.STAGED for model in gone.values())
    if room.lacking_bytes:
        assert not room.evict
        return
    kept = [
        replace(model, done_bytes=model.size_bytes)
        for model in models
        if model.model_id not in gone
    ]
    check_invariants([*kept, staged("new", size)], budget)
