"""What to hide, in which order and in which batch: from a plan to completions."""
