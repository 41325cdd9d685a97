"""Training of one network, which can be stopped at any moment; evaluation; the rules of transfer learning."""
