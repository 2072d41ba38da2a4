"""Statements that remove much, a page at a time, so that none holds its locks for long."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine


def in_pages(engine: Engine, page: Callable[[Connection], int], *, dry_run: bool = False) -> int:
    """Run `page` until it finds nothing more; returns the sum of what it returned.

    Args:
        page: one statement over a limited number of rows; returns how many there were.
        dry_run: everything happens in one transaction that is taken back at the end.
    """
    if dry_run:
        with engine.connect() as conn:
            return _until_nothing(lambda: page(conn))

    def committed() -> int:
        with engine.begin() as conn:
            return page(conn)

    return _until_nothing(committed)


def _until_nothing(step: Callable[[], int]) -> int:
    total = 0
    while count := step():
        total += count
    return total
