"""Research, apart from the product: the paper's experiments, studies of treering's own choices, the demo's training.

It imports the product and is imported by its commands alone.
"""
