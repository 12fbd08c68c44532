import artifact_store


def test_every_public_name_is_there_once() -> None:
    names = artifact_store.__all__
    assert all(hasattr(artifact_store, name) for name in names)
    assert len(names) == len(set(names))
