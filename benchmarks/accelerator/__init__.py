"""The experiments' steps by Keras on JAX and on PyTorch; see `__main__`."""
