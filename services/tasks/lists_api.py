"""The routes of members' lists, and of how large an audience is."""

import re
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, url_for

from services.tasks import supply_schemas
from services.tasks.api import bank, tasks
from services.tasks.domain.members import ListVersion
from services.tasks.lists import Batch, told
from shared.auth import allow
from shared.errors import InvalidError, RefusedError
from shared.http import json_response, query
from shared.paging import page_of, parts_of
from shared.sagas import web

blueprint = Blueprint("lists", __name__)
LIST = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@blueprint.get("/v1/lists")
@allow("operator")
def get_lists() -> Response:
    """List the lists of members, by name."""
    asked = query(web.PageQuery())
    (behind,) = parts_of(asked["after"], (str,))
    found = tasks().supply.lists.some(behind, asked["limit"] + 1)
    page, after = page_of(found, asked["limit"], lambda row: (row[0],))
    return json_response({"lists": [_told(row) for row in page], "next_after": after})


@blueprint.get("/v1/lists/<name>")
@allow("operator")
def get_list(name: str) -> Response:
    """Show a list, with a page of its members in order."""
    asked = query(supply_schemas.MembersQuery())
    lists, limit = tasks().supply.lists, asked["limit"]
    found = lists.one(name)
    if found is None:
        raise RefusedError("list_not_found", f"there is no list {name}", 404)
    page = lists.page(name, asked["after"], limit + 1)
    more = page[limit - 1] if len(page) > limit else None
    return json_response({**_told(found), "subscribers": page[:limit], "next_after": more})


@blueprint.post("/v1/lists/<name>/members")
@allow("operator")
def post_members(name: str) -> Response:
    """Add members to a list and remove others; rows that were not taken are told with reasons."""
    query(web.NoQuery())
    if not LIST.fullmatch(name):
        raise InvalidError("a list's name has 1 to 64 of a-z, 0-9, _ and -")
    batch = web.read_body(Batch)
    job, answer = tasks().supply.change_members(web.asking("", batch, "members", name), name, batch)
    version = answer.subject
    assert isinstance(version, ListVersion)
    document = {
        "list": name, "version": version.number, "added": version.added,
        "removed": version.removed, "members": version.members,
        "rejected": [
            *told("add", job.rejected_additions), *told("remove", job.rejected_removals),
        ],
    }  # fmt: skip
    location = url_for("lists.get_list", name=name)
    return web.answered(document, HTTPStatus.OK, location, answer)


@blueprint.post("/v1/audiences:preview")
@allow("operator")
def post_preview() -> Response:
    """Tell how large an audience is; as a partner may know it: in tens, and none below 50."""
    query(web.NoQuery())
    asked = web.read_body(supply_schemas.Asked)
    count = tasks().supply.audience_count(asked.audience, for_partner=asked.as_partner)
    return json_response({"everyone": count is None, "count": count})


def _told(row: Any) -> dict[str, Any]:
    name, number, members, changed_at = row
    at = bank().calendar.text(changed_at)
    return {"list": name, "version": number, "members": members, "changed_at": at}
