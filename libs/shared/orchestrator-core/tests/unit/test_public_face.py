"""The public names are those of `__all__`."""

import orchestrator_core
import orchestrator_core.testing


def test_every_public_name_exists_and_the_list_is_sorted():
    for module in (orchestrator_core, orchestrator_core.testing):
        assert module.__all__ == sorted(module.__all__)
        assert all(hasattr(module, name) for name in module.__all__)
