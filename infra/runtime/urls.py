"""Database URLs: other role or database on the same server."""

from urllib.parse import quote, urlencode

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from infra.errors import CliError

URL_PARTS = ("user", "password", "host", "port", "dbname")


def database_url(conninfo: str, scheme: str = "postgresql", **other: str) -> str:
    """Return the URL of a conninfo or URL, with some parts replaced (`user`, `dbname`, …).

    Hosts and options travel in the query, where sockets and lists of hosts have a place.
    Raises CliError `bad_database_url`.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()} | other
    except ProgrammingError as error:
        raise CliError("bad_database_url", f"a database URL is malformed: {error}") from error
    role = quote(parts.pop("user", ""), safe="")
    password = quote(parts.pop("password", ""), safe="")
    name = quote(parts.pop("dbname", ""), safe="")
    login = f"{role}:{password}@" if password else f"{role}@" if role else ""
    return f"{scheme}://{login}/{name}?{urlencode(parts, quote_via=quote, safe='')}"
