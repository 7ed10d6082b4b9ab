"""How the demo model was made: its world, its training, its quality."""
