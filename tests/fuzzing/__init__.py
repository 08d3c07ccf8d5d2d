"""Slides that are damaged on purpose: `python -m tests.fuzzing -o LEDGER` mutates, reads, and keeps a ledger."""
