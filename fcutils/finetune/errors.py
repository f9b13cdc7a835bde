"""What fine-tuning refuses, in one place."""

from __future__ import annotations


class FinetuneError(RuntimeError):
    """Something that cannot be trained, saved or opened: says what, where, and what to do."""
