"""Whether what was written is there, whole, valid and of its slide: `examination` asks, `repair` mends."""
