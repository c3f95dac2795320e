"""What is wrong with a set-up: `check`, which changes nothing."""
