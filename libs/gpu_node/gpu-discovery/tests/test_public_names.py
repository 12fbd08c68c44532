import gpu_discovery


def test_every_public_name_is_there_once() -> None:
    names = gpu_discovery.__all__
    assert all(hasattr(gpu_discovery, name) for name in names)
    assert len(names) == len(set(names))
