"""What is told of packs, orders, pools and issues."""

from typing import Any

import msgspec

from services.tasks.domain.catalogue import Pack
from services.tasks.domain.issue import Issue
from services.tasks.domain.order import Order
from services.tasks.domain.pool import Pool, pool_of_order
from shared.calendar import Calendar

Document = dict[str, Any]


def pack_document(pack: Pack, calendar: Calendar) -> Document:
    """Return a version of a pack."""
    terms = msgspec.to_builtins(pack.terms)
    at = calendar.text(pack.published_at)
    return {"pack": pack.name, "version": pack.number, "published_at": at, "terms": terms}


def order_document(order: Order, used: int, codes: dict[str, int], calendar: Calendar) -> Document:
    """Return an order with what is left of it."""
    gives = order.state == "paid" and not order.is_pool
    own = pool_of_order(order.order_id) if order.is_pool and order.state == "paid" else None
    return {
        "order_id": order.order_id, "partner": order.partner, "pack": order.pack,
        "pack_version": order.pack_version, "kind": order.terms.kind, "state": order.state,
        "count": order.count, "bytes": order.bytes, "amount_fen": order.amount_fen,
        "used": used, "left": order.count - used if gives else 0, "codes": codes,
        "pool_id": order.pool_id or own, "ordered_at": calendar.text(order.ordered_at),
        "paid_at": calendar.text(order.paid_at) if order.paid_at else None,
    }  # fmt: skip


def issue_document(issue: Issue, calendar: Calendar) -> Document:
    """Return an issue."""
    parcel = issue.parcel
    terms = parcel.terms
    return {
        "issue_id": parcel.issue_id, "state": issue.state, "partner": parcel.partner,
        "subscriber": parcel.subscriber, "bytes": parcel.bytes,
        "order_id": parcel.order_id or None, "pool_id": parcel.pool_id,
        "campaign": parcel.campaign, "grant": parcel.grant, "cycle": parcel.cycle,
        "attempt": parcel.attempt,
        "by_code": parcel.code_id is not None, "code": issue.code or None,
        "detail": issue.detail or None, "transfer_id": issue.transfer_id or None,
        "taken_bytes": issue.taken_bytes, "shortfall_bytes": issue.shortfall_bytes,
        "valid_from": calendar.text(terms.valid_from),
        "expires_at": calendar.text(terms.expires_at),
        "issued_at": calendar.text(issue.issued_at),
    }  # fmt: skip


def pool_document(pool: Pool, drawn: int, below: list[str], calendar: Calendar) -> Document:
    """Return a pool with what is left of it."""
    return {
        "pool_id": pool.pool_id, "partner": pool.partner, "order_id": pool.order_id,
        "parent_id": pool.parent_id or None, "title": pool.title, "total_bytes": pool.total_bytes,
        "drawn_bytes": drawn, "left_bytes": pool.total_bytes - drawn, "low": pool.is_low,
        "member_limit_bytes": pool.member_limit_bytes, "alarm_percent": pool.alarm_percent,
        "below": below, "opened_at": calendar.text(pool.opened_at),
    }  # fmt: skip
