"""The report of a run: tables in Markdown, and a chart."""
