"""Intrusion tests and label matching."""
