"""The path lists are exact: what is not listed does not exist for a relay."""

import pytest

from adapter_api import ENGINE_PATHS, EnginePath, find_path


def test_a_listed_path_is_found_with_its_method_only() -> None:
    assert find_path("llamacpp", "POST", "/completion") == EnginePath(
        "POST", "/completion", generates=True
    )
    assert find_path("llamacpp", "GET", "/completion") is None


@pytest.mark.parametrize(
    "path", ["/", "", "/completion/", "/completion?x=1", "//completion", "/slots/0", "/COMPLETION"]
)
def test_nothing_near_a_listed_path_is_found(path: str) -> None:
    assert find_path("llamacpp", "POST", path) is None


def test_an_unknown_engine_has_no_paths() -> None:
    assert find_path("unheard-of", "GET", "/health") is None


def test_only_posts_generate_and_no_path_is_listed_twice() -> None:
    for paths in ENGINE_PATHS.values():
        assert len({(path.method, path.path) for path in paths}) == len(paths)
        assert all(path.method == "POST" for path in paths if path.generates)
        assert all(path.path.startswith("/") for path in paths)
