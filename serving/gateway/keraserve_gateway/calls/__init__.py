"""What the calls do. No HTTP in here: bytes and values in, bytes and values out."""
