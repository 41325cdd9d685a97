"""Reports over many runs: the HTML report, docs/results.md, and the expected ranges of figures."""
