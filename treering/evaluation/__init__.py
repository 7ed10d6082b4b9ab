"""How well marks are read: confusion matrices, attacks and the paper's experiments."""
