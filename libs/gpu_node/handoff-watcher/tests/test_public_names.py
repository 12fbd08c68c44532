import handoff_watcher


def test_every_public_name_is_there_once() -> None:
    names = handoff_watcher.__all__
    assert all(hasattr(handoff_watcher, name) for name in names)
    assert len(names) == len(set(names))
