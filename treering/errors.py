"""What can go wrong, each with one sentence for the user."""

from __future__ import annotations


class TreeringError(Exception):
    """Base of all errors that treering raises on purpose; its text is one clear sentence."""


class KeyringError(TreeringError):
    """A keyring file cannot be read, written or used."""


class ImageError(TreeringError):
    """A picture cannot be read or written."""


class ModelError(TreeringError):
    """A model cannot be loaded, or does not fit the keyring."""


class SamplerError(TreeringError):
    """A scheduler is not an affine, history-free, deterministic sampler, so it cannot be inverted."""


class InputError(TreeringError):
    """An argument, a manifest or a folder is not of the form that is needed."""
