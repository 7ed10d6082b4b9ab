"""Pictures: files to pixels and back."""
