"""Intake: untrusted archives and folders become one canonical data-set archive."""
