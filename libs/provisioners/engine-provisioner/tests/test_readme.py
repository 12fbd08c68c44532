from pathlib import Path

from engine_provisioner.machine import STATES, TABLE, After, EngineState


def state_rows() -> str:
    """Draw the README's table of states from the machine."""
    lines = []
    for state, row in STATES.items():
        steps = [
            f"{stimulus.__name__} → {'(exit)' if rule.to is After.EXIT else rule.to.value}"
            for (at, stimulus), rule in TABLE.items()
            if at is state
        ]
        lines.append(
            f"| {state.value} | {row.owner} | {row.deadline or 'none'} | {', '.join(steps)} |"
        )
    return "\n".join(lines) + "\n"


def test_the_table_of_states_is_drawn_from_the_machine():
    readme = Path(__file__).parents[1] / "README.md"
    assert state_rows() in readme.read_text(encoding="utf-8")
    assert set(STATES) == set(EngineState)
