"""What a worker's log leaves out."""

import logging

from aiokafka.errors import KafkaTimeoutError, ProducerFenced

from streams.kafka.fenced_log import untold


def test_what_aiokafka_leaves_behind_of_a_fenced_producer_is_no_news() -> None:
    def record(error: BaseException) -> logging.LogRecord:
        return logging.LogRecord("asyncio", logging.ERROR, "", 0, "never retrieved", (), (type(error), error, None))

    assert not untold(record(ProducerFenced()))
    assert untold(record(KafkaTimeoutError()))
    assert untold(logging.LogRecord("asyncio", logging.ERROR, "", 0, "slow callback", (), None))
