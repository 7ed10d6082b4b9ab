"""Marks: geometry of the spectrum, secret to values, keyring files, and what a reading is worth. No model."""
