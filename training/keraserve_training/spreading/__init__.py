"""Many runs side by side: in processes, or on several machines; and what they say together."""
