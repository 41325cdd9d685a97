"""What an operator sees of it: log lines, metrics, spans."""
