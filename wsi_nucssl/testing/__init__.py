"""Conformance suites for what packages from outside add: inherit one in a test of yours, and pytest runs it."""
