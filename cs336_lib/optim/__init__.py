"""Optimizers, schedules and gradient clipping, from scratch (chapter 6)."""
