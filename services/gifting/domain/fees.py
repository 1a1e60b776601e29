"""What a gift costs, in whole bytes."""

from services.gifting.domain.rules import Fee


def fee_of(fee: Fee, amount: int) -> int:
    """Return the fee for a gift of so many bytes; a percentage is rounded down."""
    if fee.mode == "fixed":
        return fee.bytes
    return amount * fee.percent // 100 if fee.mode == "percent" else 0


def before_fee(fee: Fee, departs: int) -> int:
    """Return the largest gift for which no more than `departs` bytes leave the sender."""
    if fee.payer == "receiver" or fee.mode == "none":
        return departs
    if fee.mode == "fixed":
        return departs - fee.bytes
    # n + n * p // 100 = n * (100 + p) // 100; at most d as long as n * (100 + p) < 100 * (d + 1).
    return (100 * (departs + 1) - 1) // (100 + fee.percent)
