"""What `scripts/proof` runs: a module or package for each proof, whose `main` takes the arguments after its name."""
