"""Models on disk and in memory: which ones are served, their versions, their signatures."""
