"""The seeds of lucky draws: made and published before anybody draws, told when their day is over.

A job makes those of running campaigns for today and tomorrow. Where it could not (the bank stood
still as the day began), a draw makes it just before its own turn.
"""

import secrets
from typing import Any
from uuid import UUID

from services.tasks.claim_rows import SELECT_SEED
from services.tasks.domain.campaign import Campaign
from services.tasks.domain.tasks.draws import SEED_BYTES, commitment_of
from services.tasks.domain.tasks.kinds import LuckyDraw
from services.tasks.domain.tasks.limits import day_after
from services.tasks.store import Store
from shared.errors import RefusedError
from shared.sagas.aggregate import rebuild

INSERT = "INSERT INTO draw_seeds VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
SELECT_RUNNING = "SELECT id, version FROM campaigns WHERE state = 'running' ORDER BY id"


class DrawSeeds:
    """The seeds of a store. Threads may share it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # Version and day for which the job has seen to a campaign's draws.
        self._seen_to: dict[UUID, tuple[int, str]] = {}

    @property
    def days(self) -> tuple[str, str]:
        """Return the bank's today and tomorrow."""
        now, calendar = self._store.clock.now(), self._store.calendar
        return calendar.day_of(now), calendar.day_of(day_after(now, calendar))

    def commit(self, campaign: str, task: str, day: str) -> None:
        """Make a day's seed, unless there is one."""
        with self._store.connection() as conn:
            conn.execute(INSERT, (campaign, task, day, secrets.token_bytes(SEED_BYTES)))

    def is_committed(self, campaign: str, task: str, day: str) -> bool:
        """Say whether a day has its seed."""
        return bool(self._store.rows(SELECT_SEED, (campaign, task, day)))

    def commit_ahead(self) -> None:
        """Make the seeds of today and tomorrow for the draws of campaigns that run."""
        today, tomorrow = self.days
        for stream, version in self._store.rows(SELECT_RUNNING):
            if self._seen_to.get(stream) == (version, today):
                continue
            campaign: Campaign = rebuild(self._store.events([stream])[stream])
            for task in campaign.terms.tasks:
                if isinstance(task, LuckyDraw):
                    self.commit(campaign.name, task.name, today)
                    self.commit(campaign.name, task.name, tomorrow)
            self._seen_to[stream] = (version, today)

    def told(self, campaign: str, task: str, day: str | None) -> dict[str, Any]:
        """Return a day's commitment; its seed once the day is over. Raises RefusedError no_draw."""
        today, tomorrow = self.days
        day = day or today
        if day in (today, tomorrow):
            self.commit(campaign, task, day)
        found = self._store.rows(SELECT_SEED, (campaign, task, day))
        if not found:
            raise RefusedError("no_draw", f"nothing was drawn on {day}", 404)
        seed = bytes(found[0][0])
        return {
            "campaign": campaign, "task": task, "day": day, "seed_commitment": commitment_of(seed),
            "seed": seed.hex() if day < today else None,
        }  # fmt: skip
