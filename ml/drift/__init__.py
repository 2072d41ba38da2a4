"""Drift: windows, what they come down to, the verdict and the decision."""
