"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# A busy machine is no failure: what hangs is ended by the timeout of pytest.
settings.register_profile(
    "project", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("project")
