"""Meta's ads: the client of the Insights feed, loading a window of it, and the importer of exported files."""
