"""`make bench-accelerator`: the experiments' steps on JAX and on PyTorch."""
