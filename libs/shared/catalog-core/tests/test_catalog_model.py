"""The catalog behaves like a dictionary, also when it is opened again and when writers die."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from catalog_core import Catalog, ModelEntry, ModelPinnedError, ModelState, ModelUnknownError
from catalog_core.testing import crash_at, model_entry

ids = st.sampled_from(["a", "b", "c"])
clocks = st.integers(0, 1000)


class CatalogIsADictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.model: dict[str, ModelEntry] = {}
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.catalog = Catalog(Path(self.directory.name))

    @rule(model_id=ids, now_ms=clocks)
    def put(self, model_id: str, now_ms: int) -> None:
        self.model[model_id] = self.catalog.put(model_entry(model_id, now_ms=now_ms))

    @rule(model_id=ids, state=st.sampled_from(ModelState))
    def set_state(self, model_id: str, state: ModelState) -> None:
        self.change(model_id, lambda: self.catalog.set_state(model_id, state), state=state)

    @rule(model_id=ids, pinned=st.booleans())
    def pin(self, model_id: str, pinned: bool) -> None:
        self.change(model_id, lambda: self.catalog.pin(model_id, pinned=pinned), pinned=pinned)

    @rule(model_id=ids, now_ms=clocks)
    def touch(self, model_id: str, now_ms: int) -> None:
        last_ms = max(now_ms, self.model[model_id].last_used_ms) if model_id in self.model else 0
        self.change(model_id, lambda: self.catalog.touch(model_id, now_ms), last_used_ms=last_ms)

    @rule(model_id=ids)
    def delete(self, model_id: str) -> None:
        try:
            self.catalog.delete(model_id)
        except ModelUnknownError:
            assert model_id not in self.model
        except ModelPinnedError:
            assert self.model[model_id].pinned
        else:
            assert not self.model.pop(model_id).pinned

    @rule(
        model_id=ids,
        now_ms=clocks,
        count=st.integers(0, 60),
        change=st.sampled_from(["put", "retire", "pin", "touch", "delete"]),
    )
    def crash(self, change: str, model_id: str, now_ms: int, count: int) -> None:
        """Whatever a writer did when it died: all of it is there, or nothing."""
        known = self.model.get(model_id)
        if change == "put":
            after = model_entry(model_id, now_ms=now_ms)
        elif known is None or (change == "delete" and known.pinned):
            return  # Refused, whether anybody dies or not.
        is_killed = crash_at(count, lambda: self.act(change, model_id, now_ms))
        if is_killed and self.catalog.list() == self.entries():
            return
        if change == "delete":
            del self.model[model_id]
            return
        if known is not None and change != "put":
            changes: dict[str, dict[str, object]] = {
                "retire": {"state": ModelState.RETIRED},
                "pin": {"pinned": True},
                "touch": {"last_used_ms": max(now_ms, known.last_used_ms)},
            }
            after = known.model_copy(update=changes[change])
        self.model[model_id] = after

    def act(self, change: str, model_id: str, now_ms: int) -> None:
        match change:
            case "put":
                self.catalog.put(model_entry(model_id, now_ms=now_ms))
            case "retire":
                self.catalog.set_state(model_id, ModelState.RETIRED)
            case "pin":
                self.catalog.pin(model_id, pinned=True)
            case "touch":
                self.catalog.touch(model_id, now_ms)
            case _:
                self.catalog.delete(model_id)

    def entries(self) -> tuple[ModelEntry, ...]:
        return tuple(self.model[key] for key in sorted(self.model))

    def change(self, model_id, act, **changes) -> None:  # type: ignore[no-untyped-def]
        try:
            found = act()
        except ModelUnknownError:
            assert model_id not in self.model
        else:
            self.model[model_id] = self.model[model_id].model_copy(update=changes)
            assert found == self.model[model_id]

    @invariant()
    def they_agree(self) -> None:
        assert self.catalog.list() == self.entries()
        assert self.catalog.damaged() == ()

    def teardown(self) -> None:
        self.directory.cleanup()


TestCatalogIsADictionary = CatalogIsADictionary.TestCase
TestCatalogIsADictionary.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
