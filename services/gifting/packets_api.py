"""The routes of red packets: made by a sender, seen and claimed by whoever has the link's token."""

import re
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, url_for

from services.gifting import schemas
from services.gifting.api import (
    CALLERS,
    bank,
    checked_viewer,
    gifting,
    page_of,
)
from services.gifting.documents import claim_document, packet_document
from services.gifting.domain.red_packet import RedPacket
from services.gifting.packets import ClaimTerms, PacketTerms
from shared.auth import allow
from shared.errors import RefusedError
from shared.http import json_response, query
from shared.sagas import web
from shared.sagas.requests import Answer

blueprint = Blueprint("packets", __name__)
PACKET_ID = re.compile(r"[0-9a-f]{32}")


@blueprint.post("/v1/red-packets")
@allow(*CALLERS)
def post_packet() -> Response:
    """Make a red packet; the answer alone tells the token of its link."""
    query(web.NoQuery())
    terms = web.read_body(PacketTerms)
    wish = web.asking(terms.sender, terms, "red-packet")
    packet, answer = gifting().make_packet(wish, terms, web.wait_s())
    if packet.state == "refused":
        raise RefusedError(
            packet.code, packet.detail or f"the packet was refused: {packet.code}",
            packet_id=packet.packet_id, state=packet.state,
        )  # fmt: skip
    token = gifting().token(packet)
    document = packet_document(packet, bank().calendar, packet.sender) | {"token": token}
    status = HTTPStatus.ACCEPTED if packet.state in ("requested", "offered") else HTTPStatus.CREATED
    return web.answered(document, status, url_for("packets.get_packet", token=token), answer)


@blueprint.get("/v1/red-packets")
@allow(*CALLERS)
def get_packets() -> Response:
    """List red packets of a sender, newest first."""
    asked = query(schemas.PacketsQuery())
    found, after = page_of("red_packets", asked)
    documents = [packet_document(each, bank().calendar, asked["account"]) for each in found]
    return json_response({"red_packets": documents, "next_after": after})


@blueprint.get("/v1/red-packets/<token>")
@allow(*CALLERS)
def get_packet(token: str) -> Response:
    """Show a packet to who has its token, or by its id to its sender."""
    viewer = checked_viewer(query(schemas.ViewerQuery())["account"])
    if PACKET_ID.fullmatch(token):
        packet = gifting().packet(web.identity(token, "a packet's"), viewer)
    else:
        packet = gifting().packet_by_token(token)
    return json_response(packet_document(packet, bank().calendar, viewer))


@blueprint.post("/v1/red-packets/<token>/claim")
@allow(*CALLERS)
def post_claim(token: str) -> Response:
    """Take a share: 201 once it has arrived, 202 while it is on its way."""
    query(web.NoQuery())
    terms = web.read_body(ClaimTerms)
    wish = web.asking(terms.receiver, terms, "claim", token)
    packet, answer = gifting().claim(wish, token, web.wait_s())
    return taken(packet, terms.receiver, url_for("packets.get_packet", token=token), answer)


def taken(packet: RedPacket, receiver: str, location: str, answer: Answer) -> Response:
    """Answer who takes a share. Raises RefusedError where it could not arrive."""
    claim = packet.claim_of(receiver)
    assert claim is not None
    if claim.state == "returned":
        raise RefusedError(
            claim.code, f"the share could not arrive: {claim.code}",
            claim_id=claim.claim_id, state=claim.state,
        )  # fmt: skip
    document: dict[str, Any] = {
        "packet_id": packet.packet_id, "sender": packet.sender,
        **claim_document(claim, bank().calendar, named=True),
    }  # fmt: skip
    status = HTTPStatus.CREATED if claim.state == "delivered" else HTTPStatus.ACCEPTED
    return web.answered(document, status, location, answer)
