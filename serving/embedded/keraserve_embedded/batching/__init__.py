"""Requests that wait together run as one batch."""
