"""Run requests that wait at the same time as one batch."""
