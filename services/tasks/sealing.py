"""Partners' secrets at rest: sealed with the newest of the bank's keys, opened with any of them.

A seal is a Fernet token (AES-CBC and HMAC-SHA256) over the name of the secret's key and the secret:
one that is moved to another key's row opens nothing. The keys are in no database.
"""

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from psycopg.rows import tuple_row

from services.tasks.store import Store
from shared.errors import UnavailableError
from shared.logs import logger

SETTING = "TASKS_SEALING_KEYS"
KEY_CHARACTERS_MIN = 32
PURPOSE = b"databank: partners' secrets"
SELECT_SECRETS = "SELECT key_id, secret, sealed FROM partner_keys ORDER BY key_id"
SEAL = """
UPDATE partner_keys SET secret = %s, sealed = true WHERE key_id = %s AND secret = %s
"""
# What was there before is not only forgotten, but gone from the table's file.
REWRITE = "VACUUM FULL partner_keys"


class Sealer:
    """Seals and opens secrets. Threads may share it."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys, newest first. Raises ValueError without any, or for a short one."""
        if not keys or min(map(len, keys)) < KEY_CHARACTERS_MIN:
            raise ValueError(
                f"{SETTING} has the keys that seal partners' secrets, newest first:"
                f" each has {KEY_CHARACTERS_MIN} characters or more"
            )
        fernets = [Fernet(_derived(key)) for key in keys]
        self._newest = fernets[0]
        self._all = MultiFernet(fernets)

    def seal(self, key_id: str, secret: bytes) -> bytes:
        """Return a secret as it is stored."""
        return self._newest.encrypt(_bound(key_id) + secret)

    def open(self, key_id: str, stored: bytes) -> bytes:
        """Return a stored secret. Raises UnavailableError where none of the keys has sealed it."""
        try:
            return self._opened(key_id, stored, self._all)
        except InvalidToken:
            raise UnavailableError(
                f"the secret of {key_id} is sealed with a key that is not in {SETTING}"
            ) from None

    def is_newest(self, key_id: str, stored: bytes) -> bool:
        """Say whether a secret is sealed with the newest key."""
        try:
            self._opened(key_id, stored, self._newest)
        except InvalidToken:
            return False
        return True

    @staticmethod
    def _opened(key_id: str, stored: bytes, by: Fernet | MultiFernet) -> bytes:
        found, bound = by.decrypt(stored), _bound(key_id)
        if not found.startswith(bound):
            raise InvalidToken
        return found.removeprefix(bound)


def _bound(key_id: str) -> bytes:
    return key_id.encode() + b"\0"


def _derived(key: str) -> bytes:
    """Return a Fernet key: whatever text was given, of as much chance as it has."""
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(key.encode())
    return urlsafe_b64encode(made)


class Secrets:
    """The secrets of partners' keys in the database. Threads may share it."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self.sealer = sealer

    def open(self, key_id: str, stored: bytes, *, sealed: bool) -> bytes:
        """Return a secret; one that an earlier version stored is in the clear until `seal_all`."""
        return self.sealer.open(key_id, stored) if sealed else stored

    def seal_all(self) -> int:
        """Seal with the newest key whatever is not; return how many were not.

        Raises UnavailableError where one can't be opened.
        """
        changed = 0
        with self._store.connection() as conn:
            rows = conn.cursor(row_factory=tuple_row).execute(SELECT_SECRETS).fetchall()
            for key_id, stored, sealed in rows:
                if not sealed or not self.sealer.is_newest(key_id, stored):
                    secret = self.open(key_id, stored, sealed=sealed)
                    conn.execute(SEAL, (self.sealer.seal(key_id, secret), key_id, stored))
                    changed += 1
            if changed:
                conn.execute(REWRITE)
                logger().info("sealed_anew", secrets=changed)
        return changed
