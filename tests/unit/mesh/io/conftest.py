"""What the tests of the shell share."""

from tests.helpers.collector import collector

__all__ = ["collector"]
