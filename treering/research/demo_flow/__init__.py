"""Making of the one-step demo model: couplings, rectified flow, distillation, the shipped weights."""
