import pytest

from auth_min import Exposure


def exposure(**changed):
    safe = {"bind_host": "127.0.0.1", "has_credentials": False, "has_tls": False, "is_cloud": False}
    return Exposure(**(safe | changed))


def test_loopback_at_home_needs_nothing():
    assert exposure().problems() == ()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gpu-a.example"])
def test_an_address_that_others_reach_needs_authentication(host):
    (problem,) = exposure(bind_host=host).problems()
    assert host in problem
    assert exposure(bind_host=host, has_credentials=True).problems() == ()


def test_the_cloud_needs_tls_on_every_address():
    (problem,) = exposure(is_cloud=True, has_credentials=True).problems()
    assert "LLORCH_INSECURE_PLAINTEXT" in problem
    assert exposure(is_cloud=True, has_credentials=True, has_tls=True).problems() == ()


def test_everything_that_is_wrong_is_said_at_once():
    assert len(exposure(bind_host="0.0.0.0", is_cloud=True).problems()) == 2


def test_plain_text_that_is_meant_is_said_at_each_start():
    meant = exposure(is_cloud=True, has_credentials=True, insecure_plaintext=True)
    assert meant.problems() == ()
    assert "WITHOUT TLS" in meant.warnings()[0]
    assert exposure().warnings() == ()
