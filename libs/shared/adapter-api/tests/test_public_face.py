"""What the package shows, and what its errors promise."""

import pytest

import adapter_api
from adapter_api import AdapterError, Fault
from adapter_api.conformance import CHECKS, EXPECTED, Trouble

ERRORS = AdapterError.__subclasses__()


def test_every_public_name_is_there_and_sorted() -> None:
    assert all(hasattr(adapter_api, name) for name in adapter_api.__all__)
    assert len(set(adapter_api.__all__)) == len(adapter_api.__all__)
    assert {error.__name__ for error in ERRORS} <= set(adapter_api.__all__)


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_says_whose_fault_it_is(error: type[AdapterError]) -> None:
    made = error("told", retry_after_ms=5)
    assert (made.message, str(made), made.retry_after_ms) == ("told", "told", 5)
    assert made.code != "INTERNAL"
    assert made.retriable is not (made.fault is Fault.CLIENT)


def test_the_kit_knows_an_error_for_every_trouble_and_names_its_checks() -> None:
    assert set(EXPECTED) == set(Trouble)
    names = [check.__name__ for check in CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.__doc__ for check in CHECKS)
