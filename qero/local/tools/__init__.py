"""The npm packages of the local stack, pinned."""
