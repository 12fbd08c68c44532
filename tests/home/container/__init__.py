"""The image of the tests of containers."""
