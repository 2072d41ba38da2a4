"""The videos of creatives: where they are, which are new, how they are shared out among GPU pods."""
