"""Speed and memory beside other ways to do the same, measured in one process."""
