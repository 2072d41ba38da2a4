"""Tests, in the tree of what they test. They run against real services: see conftest.py."""
