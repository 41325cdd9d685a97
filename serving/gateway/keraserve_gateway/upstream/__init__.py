"""The model server: how it is reached, which models it should serve, which version a request gets."""
