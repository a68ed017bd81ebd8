"""Benchmarks: each measures qero beside a floor or a peer in the same run. `scripts/bench NAME` runs one."""
