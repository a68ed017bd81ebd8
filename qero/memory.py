"""What a process that runs for days does about its memory."""

from __future__ import annotations

import gc


def spare_what_is_loaded() -> None:
    """Take everything loaded so far out of garbage collection; to be called when a process is ready to work.

    Half a million objects of modules never become garbage, and looking through them stops the process for up to a tenth
    of a second, many times an hour: a paced sender falls behind and catches up, a request waits.
    """
    gc.collect()
    gc.freeze()
