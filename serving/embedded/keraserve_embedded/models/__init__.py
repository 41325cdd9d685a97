"""Models on disk and in memory: which are served, their versions and signatures."""
