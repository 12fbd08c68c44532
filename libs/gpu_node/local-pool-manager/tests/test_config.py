import pytest
from pydantic import ValidationError

from local_pool_manager import PoolConfig
from local_pool_manager.drains import FILE, load_drained, save_drained


def test_a_misspelt_key_is_refused_by_name():
    with pytest.raises(ValidationError, match="slotz"):
        PoolConfig.model_validate({"id": "a", "slotz": 2})
    with pytest.raises(ValidationError, match=r"provisioning\.mod"):
        PoolConfig.model_validate({"id": "a", "provisioning": {"mod": "package"}})


def test_strict_needs_one_slot_and_turns_the_prompt_cache_off():
    with pytest.raises(ValidationError, match="slots = 1"):
        PoolConfig(id="a", strict=True)
    assert not PoolConfig(id="a", strict=True, slots=1).caches_prompts
    assert PoolConfig(id="a").caches_prompts


def test_a_pool_serves_embeddings_or_rerank():
    with pytest.raises(ValidationError, match="a pool for each"):
        PoolConfig(id="a", embeddings=True, rerank=True)


@pytest.mark.parametrize("name", ["", "Demo", "-a", "a/b", "a" * 64])
def test_a_pool_is_named_like_every_id(name):
    with pytest.raises(ValidationError):
        PoolConfig(id=name)


def test_drains_are_remembered(tmp_path):
    assert load_drained(tmp_path) == set()
    save_drained(tmp_path, {"b", "a"})
    assert load_drained(tmp_path) == {"a", "b"}
    (tmp_path / FILE).write_text("{")
    assert load_drained(tmp_path) == set()


def test_only_engines_of_somebody_else_are_tried_by_generation():
    with pytest.raises(ValidationError, match="generation_probe_ms"):
        PoolConfig(id="a", generation_probe_ms=30_000)
    external = PoolConfig.model_validate(
        {"id": "a", "generation_probe_ms": 30_000, "provisioning": {"mode": "external"}}
    )
    assert external.generation_probe_ms == 30_000
