"""The Docker-free local stack."""
