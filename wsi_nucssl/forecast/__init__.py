"""What segmenting slides will cost: `inventory` looks at each, `pace` measures this machine, `planning` adds up."""
