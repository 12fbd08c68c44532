"""Settings of all tests."""

import os

from hypothesis import HealthCheck, settings

# A busy machine is no failure: what hangs is ended by the timeout of pytest.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# CI judges a change, so the same change gets the same examples; the search goes on elsewhere.
settings.register_profile("ci", settings.get_profile("project"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "project")
