"""What a plan deletes, why, and that it never goes against a rule."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_core import (
    CatalogGcPolicy,
    DeleteRetired,
    DiskFacts,
    FileFact,
    GcAction,
    GcPlan,
    GcReason,
    KeepActive,
    KeepPinned,
    KeepRecentlyUsed,
    ModelEntry,
    ModelState,
    plan_gc,
)
from catalog_core.testing import model_entry

DAY_MS = 86_400_000
GB = 1_000_000_000
NOW_MS = 1000 * DAY_MS
ROOM_NEEDED = CatalogGcPolicy(max_disk_usage_percent=100, min_free_gb=50, retention_rules=())


def entry(
    name: str,
    *,
    unused_days: int = 100,
    retired_days: int | None = None,
    pinned: bool = False,
    is_ours: bool = True,
    path: Path | None = None,
) -> ModelEntry:
    place = path or Path("/models") / name / "m.gguf"
    return model_entry(name, path=place).model_copy(
        update={
            "last_used_ms": NOW_MS - unused_days * DAY_MS,
            "state": ModelState.ACTIVE if retired_days is None else ModelState.RETIRED,
            "retired_ms": None if retired_days is None else NOW_MS - retired_days * DAY_MS,
            "pinned": pinned,
            "store_path": place.parent if is_ours else None,
        }
    )


def fact(path: Path, *, inode: int, links: int = 1, size_bytes: int = 10 * GB) -> FileFact:
    return FileFact(device=1, inode=inode, links=links, real_path=path, size_bytes=size_bytes)


def disk(*entries: ModelEntry, free_gb: int = 20, **facts: FileFact) -> DiskFacts:
    files = {
        each.path: facts.get(each.id, fact(each.path, inode=number))
        for number, each in enumerate(entries)
    }
    return DiskFacts(device=1, total_bytes=100 * GB, free_bytes=free_gb * GB, files=files)


def plan(
    *entries: ModelEntry,
    policy: CatalogGcPolicy = ROOM_NEEDED,
    on: DiskFacts | None = None,
    in_use: dict[str, str] | None = None,
) -> GcPlan:
    return plan_gc(entries, on or disk(*entries), policy, in_use=in_use or {}, now_ms=NOW_MS)


def reasons(found: GcPlan) -> dict[str, GcReason]:
    return {each.model_id: each.reason for each in found.decisions}


def test_each_model_is_kept_for_its_own_reason() -> None:
    rules = (KeepActive(), KeepPinned(), KeepRecentlyUsed(days=7), DeleteRetired(after_days=30))
    policy = ROOM_NEEDED.model_copy(update={"retention_rules": rules})
    found = plan(
        entry("active"),
        entry("busy", retired_days=90),
        entry("foreign", retired_days=90, is_ours=False),
        entry("long", retired_days=31),
        entry("pinned", retired_days=90, pinned=True),
        entry("recent", unused_days=6, retired_days=90),
        entry("shortly", retired_days=29),
        policy=policy,
        in_use={"busy": "pool default serves it"},
    )
    assert reasons(found) == {
        "active": GcReason.ACTIVE,
        "busy": GcReason.IN_USE,
        "foreign": GcReason.FOREIGN_FILE,
        "long": GcReason.RETIRED_LONG,
        "pinned": GcReason.PINNED,
        "recent": GcReason.RECENTLY_USED,
        "shortly": GcReason.RETIRED_RECENTLY,
    }
    (deletion,) = found.deletions
    assert deletion.explanation == "it was retired 31 days ago, not within 30 days"
    told = {each.model_id: each.explanation for each in found.decisions}
    assert told["busy"] == "it is needed: pool default serves it"
    assert (found.freed_bytes, found.shortfall_bytes) == (10 * GB, 20 * GB)


def test_for_room_the_retired_go_first_then_the_least_recently_used_and_no_more() -> None:
    found = plan(
        entry("new", unused_days=1),
        entry("old", unused_days=9),
        entry("older", unused_days=99),
        entry("retired", unused_days=1, retired_days=1),
    )
    assert [each.model_id for each in found.deletions] == ["retired", "older", "old"]
    assert reasons(found)["new"] is GcReason.ROOM_ENOUGH
    assert (found.wanted_free_bytes, found.freed_bytes, found.shortfall_bytes) == (
        50 * GB,
        30 * GB,
        0,
    )


def test_usage_counts_as_well_as_free_room() -> None:
    policy = CatalogGcPolicy(max_disk_usage_percent=75, min_free_gb=0, retention_rules=())
    assert len(plan(entry("a"), entry("b"), policy=policy).deletions) == 1


def test_what_would_free_nothing_is_not_deleted_for_room() -> None:
    older, newer = entry("older", unused_days=9), entry("newer", unused_days=1)
    linked = fact(older.path, inode=7, links=2)
    found = plan(older, newer, on=disk(older, newer, free_gb=40, older=linked))
    assert [each.model_id for each in found.deletions] == ["newer"]


def test_hard_linked_files_are_counted_once_and_only_when_the_last_name_goes() -> None:
    one, two = entry("one", unused_days=9), entry("two", unused_days=8)
    facts = {
        "one": fact(one.path, inode=7, links=2),
        "two": fact(two.path, inode=7, links=2),
    }
    found = plan(one, two, on=disk(one, two, free_gb=45, **facts))
    assert [each.freed_bytes for each in found.deletions] == [0, 10 * GB]
    assert found.freed_bytes == 10 * GB


def test_a_file_that_another_entry_names_too_is_kept() -> None:
    ours = entry("ours")
    theirs = entry("theirs", is_ours=False, path=ours.path)
    assert reasons(plan(ours, theirs))["ours"] is GcReason.SHARED_FILE


def test_files_of_another_disk_make_no_room_here() -> None:
    away = entry("away")
    elsewhere = fact(away.path, inode=1).model_copy(update={"device": 2})
    found = plan(away, on=disk(away, away=elsewhere))
    assert (found.deletions, found.shortfall_bytes) == ((), 30 * GB)
    assert reasons(found) == {"away": GcReason.FREES_NOTHING}


def test_a_model_retired_at_an_unknown_time_is_kept() -> None:
    unknown = entry("unknown", retired_days=1).model_copy(update={"retired_ms": None})
    policy = ROOM_NEEDED.model_copy(update={"retention_rules": (DeleteRetired(after_days=0),)})
    assert reasons(plan(unknown, policy=policy))["unknown"] is GcReason.RETIRED_RECENTLY


def test_a_policy_is_read_from_json_and_a_wrong_one_is_refused() -> None:
    told = '{"min_free_gb": 5, "retention_rules": [{"rule": "DeleteRetired", "after_days": 3}]}'
    policy = CatalogGcPolicy.model_validate_json(told)
    assert policy.retention_rules == (DeleteRetired(after_days=3),)
    assert CatalogGcPolicy.model_validate_json(policy.model_dump_json()) == policy
    for wrong in ('{"retention_rules": [{"rule": "KeepAll"}]}', '{"min_free": 1}'):
        with pytest.raises(ValueError):
            CatalogGcPolicy.model_validate_json(wrong)


days = st.integers(0, 40)
rules = st.one_of(
    st.just(KeepActive()),
    st.just(KeepPinned()),
    st.builds(KeepRecentlyUsed, days=days),
    st.builds(DeleteRetired, after_days=days),
)
policies = st.builds(
    CatalogGcPolicy,
    max_disk_usage_percent=st.sampled_from([1, 50, 90, 100]),
    min_free_gb=st.integers(0, 120),
    retention_rules=st.lists(rules, max_size=4).map(tuple),
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[tuple[ModelEntry, ...], DiskFacts, dict[str, str]]:
    entries = tuple(
        entry(
            f"m{number}",
            unused_days=draw(days),
            retired_days=draw(st.none() | days),
            pinned=draw(st.booleans()),
            is_ours=draw(st.sampled_from([True, True, True, False])),
        )
        for number in range(draw(st.integers(0, 6)))
    )
    inodes = [draw(st.integers(1, 4)) for _ in entries]
    outside = draw(st.integers(0, 1))
    facts = {
        each.id: fact(each.path, inode=inode, links=inodes.count(inode) + outside * (inode == 1))
        for each, inode in zip(entries, inodes, strict=True)
    }
    busy = draw(st.sets(st.sampled_from([each.id for each in entries]))) if entries else set()
    used = disk(*entries, free_gb=draw(st.integers(0, 100)), **facts)
    return entries, used, dict.fromkeys(busy, "served")


@given(situations(), policies)
def test_no_rule_is_ever_violated_and_the_sums_are_right(
    situation: tuple[tuple[ModelEntry, ...], DiskFacts, dict[str, str]], policy: CatalogGcPolicy
) -> None:
    entries, used, in_use = situation
    found = plan_gc(entries, used, policy, in_use=in_use, now_ms=NOW_MS)
    assert sorted(each.model_id for each in found.decisions) == sorted(each.id for each in entries)
    deleted = [each.entry for each in found.deletions]
    for each in deleted:
        assert each.id not in in_use
        assert not each.pinned
        assert each.store_path is not None
        for rule in policy.retention_rules:
            match rule:
                case KeepActive():
                    assert each.state is ModelState.RETIRED
                case KeepRecentlyUsed():
                    assert NOW_MS - each.last_used_ms >= rule.days * DAY_MS
                case DeleteRetired() if each.state is ModelState.RETIRED:
                    assert each.retired_ms is not None
                    assert NOW_MS - each.retired_ms >= rule.after_days * DAY_MS
    # Bytes: each inode once, when no name of it is left.
    gone: dict[int, int] = {}
    for each in deleted:
        inode = used.files[each.path].inode
        gone[inode] = gone.get(inode, 0) + 1
    links = {each.inode: each.links for each in used.files.values()}
    freed = sum(10 * GB for inode, names in gone.items() if names == links[inode])
    assert found.freed_bytes == sum(each.freed_bytes for each in found.deletions) == freed
    # Room: nothing more than needed, and nothing less if it can be had.
    for_room = [each for each in found.deletions if each.reason is GcReason.ROOM_NEEDED]
    if for_room:
        assert used.free_bytes < found.wanted_free_bytes
    for each in found.decisions:
        if each.reason is GcReason.ROOM_ENOUGH:
            assert found.shortfall_bytes == 0
        if each.reason is GcReason.FREES_NOTHING:
            assert found.shortfall_bytes > 0
            assert not _could_free(each.entry, found, used)
    assert all(each.explanation for each in found.decisions)
    assert all(each.action is GcAction.KEEP for each in found.decisions[len(deleted) :])


def _could_free(spared: ModelEntry, found: GcPlan, used: DiskFacts) -> bool:
    """Whether deleting it, with all others that were spared or deleted, would make room."""
    free = [GcAction.DELETE, GcReason.FREES_NOTHING]
    inodes = [
        used.files[each.entry.path].inode
        for each in found.decisions
        if each.action in free or each.reason in free
    ]
    fact = used.files[spared.path]
    return inodes.count(fact.inode) == fact.links
