"""The tests that hold the wire form of every type of a package."""

from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from hypothesis import given
from pydantic import BaseModel, ValidationError

from node_types.testing.strategies import of_model
from node_types.testing.wire import (
    check_golden,
    check_round_trip,
    check_tolerance,
    examples,
    models_of,
)


class WireSuite:
    """Derive a test class from it, for pytest, and name the package and its golden files.

    The package's own `testing` has to be imported before: it registers how values are made.
    """

    package: ClassVar[ModuleType]
    golden: ClassVar[Path]
    """The folder with a file for each type."""
    update: ClassVar[bool] = False
    """Write the golden files anew instead."""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Run each test that takes a `model` for every type of the package."""
        if "model" in metafunc.fixturenames:
            models = models_of(self.package)
            metafunc.parametrize("model", models, ids=[model.__name__ for model in models])

    def test_a_value_comes_back_from_its_json_as_it_was(self, model: type[BaseModel]) -> None:
        """Whatever the value."""

        @given(value=of_model(model))
        def comes_back(value: BaseModel) -> None:
            check_round_trip(value)

        comes_back()

    def test_the_wire_form_is_the_golden_one(self, model: type[BaseModel]) -> None:
        """A change of it is a decision, which shows in the golden file."""
        check_golden(model, self.golden, update=self.update)

    def test_no_golden_file_is_left_of_a_type_that_is_gone(self) -> None:
        """Each file has its type."""
        names = {model.__name__ for model in models_of(self.package)}
        assert {path.stem for path in self.golden.iterdir()} == names

    def test_an_unknown_field_is_ignored_from_services_and_refused_from_clients(
        self, model: type[BaseModel]
    ) -> None:
        """Services may be newer than we are; a client has mistyped."""
        check_tolerance(model)

    def test_a_value_cannot_be_changed(self, model: type[BaseModel]) -> None:
        """Who holds a value may rely on it."""
        value = examples(model)[0]
        name = next(iter(model.model_fields))
        told = ""
        try:
            setattr(value, name, getattr(value, name))
        except ValidationError as error:
            told = str(error)
        assert "frozen" in told, f"{model.__name__}.{name} can be set"

    def test_no_field_is_a_list_or_a_set(self, model: type[BaseModel]) -> None:
        """They could be changed where they stand."""
        held = examples(model)[0].__dict__.values()
        assert not any(isinstance(value, list | set) for value in held)

    def test_all_names_every_public_name_once_and_sorted(self) -> None:
        """Constants come first, then classes, then functions."""
        names = self.package.__all__
        constants = sorted(name for name in names if name.isupper())
        classes = sorted(name for name in names if name[0].isupper() and not name.isupper())
        functions = sorted(name for name in names if name[0].islower())
        assert names == [*constants, *classes, *functions]
        assert all(hasattr(self.package, name) for name in names)
