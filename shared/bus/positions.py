"""How far a consumer is in the logs that it follows, in the table `inbox_positions`."""

from typing import NamedTuple

UPSERT_POSITION = """
INSERT INTO inbox_positions AS p (consumer, source, lane, sequence) VALUES (%s, %s, %s, %s)
ON CONFLICT (consumer, source, lane)
DO UPDATE SET sequence = greatest(p.sequence, excluded.sequence)
"""
SELECT_POSITION = """
SELECT sequence FROM inbox_positions WHERE consumer = %s AND source = %s AND lane = %s
"""


class InboxPosition(NamedTuple):
    """How far a consumer is in a lane of a source."""

    consumer: str
    source: str
    lane: str
    sequence: int
