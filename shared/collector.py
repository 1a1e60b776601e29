"""Python's cyclic garbage collector, set for processes that make many short-lived objects."""

import gc

# Objects of a batch hold no cycles and go by reference count; looking through them for cycles after
# every 700 new ones, Python's default, took a fifth of a command's time. What is waited with so is
# some 10 MB.
NEW_OBJECTS_MAX = 100_000
YOUNG_LOOKS, MIDDLE_LOOKS = 20, 100


def collect_rarely() -> None:
    """Leave alone what was made at start, and look at new objects rarely. Call it once started."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_MAX, YOUNG_LOOKS, MIDDLE_LOOKS)
