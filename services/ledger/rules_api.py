"""The routes of rules: what is in force and what is to come, a new version, its dry run."""

from itertools import chain
from typing import Annotated, Any

import msgspec
from flask import Blueprint, Response
from msgspec import Meta

from services.ledger.api import bank, encoded, meta
from services.ledger.domain.rules import Rules
from services.ledger.rehearsal import rehearse
from services.ledger.rulebooks import put_rules, read_rules, rules_now
from services.ledger.schemas import NoQuery
from shared.auth import allow
from shared.http import body, json_response, query, stream
from shared.mistakes import decoded

blueprint = Blueprint("rules", __name__)


class RulesBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/rules`: the rules as in a rules file, and from when they are in force."""

    rules: dict[str, Any]
    effective_from: Annotated[str, Meta(max_length=40)] | None = None


class RulesOnlyBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/rules:check`."""

    rules: dict[str, Any]


class DryRunBody(msgspec.Struct, forbid_unknown_fields=True):
    """Body of `POST /v1/rules:dry-run`: with `every` each changed account is told."""

    rules: dict[str, Any]
    every: bool = False


@blueprint.get("/v1/rules")
@allow()
def get_rules() -> Response:
    """Show every version of the rules, and which one is in force."""
    query(NoQuery())
    book = rules_now(bank().ledger.partitions[0])
    now = bank().clock.now()
    return encoded(
        {
            "now": bank().calendar.text(now),
            "in_force": book.at(now).version,
            "latest": book.latest().version,
            "versions": [_version(start, rules) for start, rules in book.versions],
        }
    )


def _version(start: int, rules: Rules) -> dict[str, Any]:
    effective_from = bank().calendar.text(start)
    return {**msgspec.to_builtins(rules), "effective_from": effective_from}


@blueprint.post("/v1/rules")
@allow("operator")
def post_rules() -> Response:
    """Store a new version in every partition; the same again adds nothing."""
    query(NoQuery())
    asked = decoded(RulesBody, body())
    version, new = put_rules(bank().ledger, read_rules(asked.rules), asked.effective_from, meta())
    return json_response(
        {
            "version": version.version,
            "effective_from": bank().calendar.text(version.effective_from),
            "new": new,
        }
    )


@blueprint.post("/v1/rules:check")
@allow("operator")
def check_rules() -> Response:
    """Read rules as a put would, and show them with every default filled in."""
    query(NoQuery())
    asked = decoded(RulesOnlyBody, body())
    return encoded({"rules": read_rules(asked.rules)})


@blueprint.post("/v1/rules:dry-run")
@allow("operator")
def try_rules() -> Response:
    """Replay the last closed month under other rules; answers with progress, line by line."""
    query(NoQuery())
    asked = decoded(DryRunBody, body())
    steps = rehearse(bank().ledger, read_rules(asked.rules), every=asked.every)
    # A refusal comes before the first line, with a status of its own.
    first = next(steps)
    return stream(chain([first], steps))
