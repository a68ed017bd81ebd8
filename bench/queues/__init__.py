"""The queues that `scripts/bench outbox` compares, each a program that drains what was put there and says when."""
