"""What an operator sees: log lines, metrics, spans."""
