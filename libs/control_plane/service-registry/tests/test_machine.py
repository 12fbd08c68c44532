import re
from pathlib import Path

import pytest

from service_registry import TRANSITIONS, LeaseState, Stimulus
from service_registry.machine import step


def test_every_lease_can_be_removed_and_every_silent_one_be_heard():
    for state in LeaseState:
        assert step(state, Stimulus.REMOVED) is None
        assert step(state, Stimulus.HEARD) is LeaseState.ONLINE


def test_a_suspected_node_cannot_be_forgotten():
    with pytest.raises(KeyError):
        step(LeaseState.SUSPECTED, Stimulus.FORGOTTEN)


def test_nobody_is_heard_without_a_lease():
    with pytest.raises(KeyError):
        step(None, Stimulus.HEARD)


def test_the_readme_shows_the_table_of_the_code():
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    section = readme.split("## The life of a lease")[1].split("##")[0]
    rows = re.findall(r"^\| (\S+) \| ([a-z ]+) \| (\S+) \|$", section, re.MULTILINE)
    words = {state: state.value if state else "none" for state in (None, *LeaseState)}
    assert rows[1:] == [
        (words[state], stimulus.value, words[to]) for (state, stimulus), to in TRANSITIONS.items()
    ]
