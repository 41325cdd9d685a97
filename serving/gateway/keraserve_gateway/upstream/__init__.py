"""The model server: how it is reached, which models it should have, which version answers."""
