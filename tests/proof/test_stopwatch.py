"""The stopwatch of `scripts/proof access` claims no more than it has measured."""

from __future__ import annotations

import math
import random

from proof.access import median_between


def test_a_few_values_tell_nothing() -> None:
    assert median_between([1.0, 2.0, 3.0], mistakes=0.001) == (-math.inf, math.inf)


def test_twenty_values_tell_that_the_median_lies_among_them() -> None:
    assert median_between([float(value) for value in range(20)], mistakes=0.001) == (2, 17)


def test_it_is_mistaken_as_rarely_as_it_says() -> None:
    chance = random.Random(1)
    # The median of this distribution is 0, and a few of its values are far off to one side, as those of clocks are.
    intervals = [
        median_between([chance.expovariate(1) - math.log(2) for _ in range(60)], mistakes=0.05) for _ in range(2_000)
    ]

    mistaken = sum(not low <= 0 <= high for low, high in intervals)

    assert 0.02 < mistaken / len(intervals) < 0.05
