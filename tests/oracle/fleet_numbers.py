"""How many devices make an emergency, and how many end it (C5)."""


def need(monitored: int) -> int:
    """Return how many offline devices make an emergency: a tenth, at least 3, or all of fewer.

    >>> need(1000), need(1001), need(20), need(2)
    (100, 101, 3, 2)
    """
    return max(min(3, monitored), -(-monitored // 10))


def clear(monitored: int) -> int:
    """Return how many may be offline for the emergency to end.

    >>> clear(100_000), clear(5), clear(2)
    (7999, 1, 0)
    """
    return max(0, need(monitored) - 1 - max(1, -(-monitored // 50)))
