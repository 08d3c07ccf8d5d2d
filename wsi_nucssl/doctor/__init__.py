"""Whether this machine and this installation do what they should: `examine` asks `CHECKS`, one after another."""
