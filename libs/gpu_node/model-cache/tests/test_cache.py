"""Real files in real memory."""

import asyncio
import os
import time

import pytest

from model_cache import CacheTooSmall, Method, ModelCache, NotStaged, Stage, resident_bytes
from model_cache.pages import forget
from model_cache.testing import CountingObserver, cold_file

MIB = 1 << 20


@pytest.fixture
def make(tmp_path):
    return lambda name, mib=4: cold_file(tmp_path / name, mib * MIB)


@pytest.fixture(params=[True, False], ids=["locked", "preread"])
async def cache(request):
    async with ModelCache.running(16 * MIB, may_lock=request.param) as running:
        yield running


async def test_a_staged_model_is_in_ram_and_says_how(cache, make):
    path = make("a.gguf")
    assert resident_bytes(path) == 0
    assert cache.stage("a", path).stage is Stage.STAGING
    model = await cache.settled("a")
    assert (model.stage, model.done_bytes) == (Stage.STAGED, 4 * MIB)
    assert resident_bytes(path) == 4 * MIB
    assert (model.method is Method.PREREAD) is bool(model.why_not_locked)


async def test_a_model_of_several_files_is_staged_whole_and_let_go_whole(cache, make):
    parts = [make("a-1.gguf"), make("a-2.gguf", mib=2)]
    assert cache.stage("a", parts[0], files=parts).size_bytes == 6 * MIB
    assert (await cache.settled("a")).done_bytes == 6 * MIB
    assert [resident_bytes(part) for part in parts] == [4 * MIB, 2 * MIB]
    assert cache.hit(parts[0])
    with pytest.raises(CacheTooSmall):
        cache.stage("b", make("b.gguf"), files=[make("b.gguf")] * 5)


async def test_a_locked_model_survives_what_drops_the_page_cache(make):
    path = make("a.gguf")
    async with ModelCache.running(16 * MIB) as cache:
        cache.stage("a", path)
        if (await cache.settled("a")).method is not Method.LOCKED:
            pytest.skip("this kernel does not let us lock 4 MiB")
        forget(path)
        assert resident_bytes(path) == 4 * MIB
    forget(path)
    assert resident_bytes(path) == 0


async def test_where_locking_is_refused_the_file_is_read_and_the_reason_told(make):
    import resource

    path = make("a.gguf")
    limits = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() == 0:
        pytest.skip("root may lock whatever the limit")
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, limits[1]))
    try:
        async with ModelCache.running(16 * MIB) as cache:
            cache.stage("a", path)
            model = await cache.settled("a")
            assert model.method is Method.PREREAD
            assert "RLIMIT_MEMLOCK" in model.why_not_locked
    finally:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, limits)


async def test_the_least_recently_used_model_makes_room_and_its_memory_is_given_back(cache, make):
    paths = {name: make(name, 6) for name in ("a", "b", "c")}
    for name in ("a", "b"):
        cache.stage(name, paths[name])
        await cache.settled(name)
    assert cache.hit(paths["a"])
    cache.stage("c", paths["c"])
    await cache.settled("c")
    assert {model.model_id for model in cache.status().models} == {"a", "c"}
    assert (cache.status().used_bytes, cache.status().evictions) == (12 * MIB, 1)
    async with asyncio.timeout(5):
        while resident_bytes(paths["b"]):
            await asyncio.sleep(0.01)


async def test_a_pinned_model_stays_and_what_does_not_fit_is_refused_with_the_numbers(cache, make):
    cache.stage("a", make("a", 12), pinned=True)
    await cache.settled("a")
    with pytest.raises(CacheTooSmall, match=f"lacks {4 * MIB} bytes"):
        cache.stage("b", make("b", 8))
    cache.unstage("a")
    cache.stage("b", make("b", 8))


async def test_hits_and_misses_are_counted_and_told(make):
    observer = CountingObserver()
    path = make("a.gguf")
    async with ModelCache.running(16 * MIB, observer=observer) as cache:
        assert not cache.hit(path)
        cache.stage("a", path)
        await cache.settled("a")
        assert cache.hit(path)
        assert (cache.status().hits, cache.status().misses) == (1, 1)
        assert (observer.hits, observer.misses) == (["a"], [str(path)])
        assert observer.used_bytes == 4 * MIB


async def test_staging_twice_is_staging_once_and_a_pin_can_be_set_later(cache, make):
    path = make("a.gguf")
    cache.stage("a", path)
    await cache.settled("a")
    assert cache.stage("a", path, pinned=True).stage is Stage.STAGED
    assert cache.get("a").pinned


async def test_a_missing_file_is_told_at_once_and_an_unknown_model_by_name(cache, tmp_path):
    with pytest.raises(FileNotFoundError):
        cache.stage("a", tmp_path / "none")
    with pytest.raises(NotStaged, match="staged are: none"):
        cache.unstage("a")


async def test_unstaging_in_the_middle_stops_the_reading(cache, make):
    path = make("a.gguf", 16)
    cache.stage("a", path)
    cache.unstage("a")
    assert cache.status().models == ()
    cache.stage("a", path)
    assert (await cache.settled("a")).stage is Stage.STAGED


async def test_the_event_loop_goes_on_while_a_model_is_staged(cache, make):
    cache.stage("a", make("a.gguf", 16))
    longest, last = 0.0, time.monotonic()
    while cache.get("a").stage is Stage.STAGING:
        await asyncio.sleep(0)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    assert longest < 0.25


@pytest.mark.long
async def test_a_staged_model_is_read_several_times_faster_than_a_cold_one(tmp_path, capsys):
    size = 1 << 30

    def read_s(path):
        began = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            while file.read(8 * MIB):
                pass
        return time.perf_counter() - began

    path = cold_file(tmp_path / "big.gguf", size)
    ratios = []
    async with ModelCache.running(2 * size) as cache:
        for _ in range(3):
            forget(path)
            cold = await asyncio.to_thread(read_s, path)
            forget(path)
            cache.stage("big", path)
            model = await cache.settled("big")
            warm = await asyncio.to_thread(read_s, path)
            ratios.append(cold / warm)
            cache.unstage("big")
            with capsys.disabled():
                print(f"1 GiB: cold {cold:.2f} s, staged ({model.method}) {warm:.2f} s")
    assert sorted(ratios)[1] >= 3
