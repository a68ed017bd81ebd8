"""What operators do: push, check."""
