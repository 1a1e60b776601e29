"""The transports that can be measured here."""

import os
from collections.abc import Iterator

from tests.benchmarks.bench import Bench
from tests.support.rabbit import LocalNode
from tests.support.rabbit_install import find_script


def brokers(bench: Bench) -> Iterator[tuple[str, str]]:
    """Yield each transport's name and broker: the log, then RabbitMQ if one is at hand.

    At hand is AMQP_URL, else an installed RabbitMQ, of which a private node is run meanwhile.
    """
    yield "log", ""
    given = os.environ.get("AMQP_URL")
    script = find_script()
    if given:
        yield "rabbitmq", given
    elif script is not None:
        node = LocalNode(script)
        try:
            with bench.step("start RabbitMQ"):
                node.start()
            yield "rabbitmq", node.url
        finally:
            node.close()
    else:
        bench.say("no RabbitMQ at hand (AMQP_URL, or an installed one): its lag is not measured")
