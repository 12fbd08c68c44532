"""Settings of all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: what hangs is ended by the timeout of pytest.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# CI judges a change, so the same change gets the same examples; the search goes on elsewhere.
settings.register_profile("ci", settings.get_profile("project"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "project")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Share the whole suite among the cores; a part of it and a marked suite run in one process.

    Most tests wait for processes that they have started. More than four would be too much for
    the disk of a usual machine, and no quicker than their longest file.
    """
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    unmarked = config.option.markexpr.startswith("not ")
    return min(4, os.cpu_count() or 1) if whole and unmarked else 0
