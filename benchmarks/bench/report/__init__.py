"""What is written about a run: tables in Markdown, and charts."""
