"""Many runs of one experiment, with other seeds or variants, and what they show together."""
