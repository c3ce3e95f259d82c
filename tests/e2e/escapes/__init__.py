"""Attempts that must fail, by group, as data for escapes_test.py."""
