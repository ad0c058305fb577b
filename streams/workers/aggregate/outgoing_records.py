"""Records that the aggregate worker sends: results and legs of calls, and dead letters."""

import msgspec
import structlog
from aiokafka import ConsumerRecord
from faust.types import TP

from schemas import Serializer, own_headers
from streams.calls.call import Call
from streams.calls.classify import classify
from streams.calls.pbx_profile import PbxProfile
from streams.calls.result_headers import BACKFILL, ERASURE, LIVE, ORIGIN, PROCESSED
from streams.clock import utc_now_us
from streams.dead_letter_reasons import DeadLetterReason
from streams.kafka.dead_letters import DeadLetters, Origin
from streams.kafka.producer import Message
from streams.privacy.erased import ErasedNumbers
from streams.privacy.hashed import ResultHasher
from streams.rules import Rules
from streams.settings import Settings
from streams.topics import CALL_LEGS, CALL_RESULTS, CALL_RESULTS_HASHED
from streams.workers.aggregate import metrics
from streams.workers.aggregate.call_warnings import WarningReporter
from streams.workers.aggregate.steps import CallEnded, CallWithheld, Ended

_RESULT_HEADERS, _LEG_HEADERS = own_headers(CALL_RESULTS.schema), own_headers(CALL_LEGS.schema)

_log = structlog.get_logger("aggregate")


class OutgoingRecords:
    """Classifies calls that ended, and encodes what is to be sent."""

    def __init__(
        self,
        settings: Settings,
        rules: Rules,
        profile: PbxProfile,
        serializer: Serializer,
        dead_letters: DeadLetters,
        erased: ErasedNumbers,
    ) -> None:
        """`erased`: the numbers that are left out of calls from before their erasure."""
        self._erased = erased
        self._hasher = ResultHasher.of(settings, profile)
        self._hashed_topic = settings.kafka.topic(CALL_RESULTS_HASHED)
        self._results_topic, self._legs_topic = settings.kafka.topic(CALL_RESULTS), settings.kafka.topic(CALL_LEGS)
        self._rules = rules
        self._profile = profile
        self._serializer = serializer
        self._dead_letters = dead_letters
        self._warnings = WarningReporter()

    def of_ended(self, ended: Ended, tp: TP, last_offset: int) -> list[Message]:
        """The records of a call that ended, after the row at `last_offset` of its partition.

        At once, without an await: the call changes with its next row.
        """
        return (
            [self._withheld(ended, tp, last_offset)]
            if isinstance(ended, CallWithheld)
            else self._results(ended, tp, last_offset)
        )

    def dead_letter(
        self, record: ConsumerRecord, reason: DeadLetterReason, why: str, call_id: str | None = None
    ) -> Message:
        """The dead letter of a record that cannot be taken."""
        metrics.DEAD_LETTERS.labels(reason.code).inc()
        return self._dead_letters.message(Origin.of(record), reason, why, call_id=call_id)

    def _results(self, finished: CallEnded, tp: TP, last_offset: int) -> list[Message]:
        call = finished.call
        try:
            classified = classify(call, self._rules, self._profile, cut_short=finished.cut_short)
            classification = self._erased.obeyed(classified)
            key = call.call_id.encode()
            origin = BACKFILL if finished.backfilled else LIVE
            if classification is not classified:
                origin = ERASURE
            now = str(utc_now_us()).encode()
            headers = ((ORIGIN, origin.encode()), (PROCESSED, now))
            encode = self._serializer.encode
            result = encode(CALL_RESULTS.schema, classification.result.record())
            messages: list[Message] = [(self._results_topic, key, result, (*_RESULT_HEADERS, *headers))]
            for leg in classification.legs:
                value = encode(CALL_LEGS.schema, leg.record())
                messages.append((self._legs_topic, key, value, (*_LEG_HEADERS, *headers)))
            if self._hasher is not None:
                value = encode(CALL_RESULTS_HASHED.schema, self._hasher.record(classification.result))
                messages.append((self._hashed_topic, key, value, (*_RESULT_HEADERS, *headers)))
        except Exception as error:  # a call that nobody thought of must not stop the others
            _log.exception("call could not be classified", call_id=call.call_id)
            why = f"{type(error).__name__}: {error}"
            return [self._letter_of_call(call, DeadLetterReason.NOT_CLASSIFIED, why, tp, last_offset)]
        metrics.RESULTS.labels(origin).inc()
        self._warnings.report(classification.result)
        return messages

    def _withheld(self, withheld: CallWithheld, tp: TP, last_offset: int) -> Message:
        call = withheld.call
        _log.warning("a call of which rows may be lost is withheld until it is backfilled", call_id=call.call_id)
        if withheld.never_captured:
            cause = f"the first rows of call {call.call_id} are not on {tp.topic}: capture began or went on after them"
        else:
            where = f"{tp.topic}, partition {tp.partition}"
            cause = f"rows of call {call.call_id} may be among those that were lost on {where}"
        why = (
            f"{cause}; a result from the {len(call.rows)} others could be wrong. "
            f"Backfill the whole call: all rows with linkedid = '{call.linkedid}'"
        )
        return self._letter_of_call(call, DeadLetterReason.ROWS_LOST, why, tp, last_offset)

    def _letter_of_call(self, call: Call, reason: DeadLetterReason, why: str, tp: TP, last_offset: int) -> Message:
        metrics.DEAD_LETTERS.labels(reason.code).inc()
        pbx = {"__source_name": call.pbx}  # what `cel2crm classify` reads
        rows = b"\n".join(msgspec.json.encode(msgspec.structs.asdict(row) | pbx) for row in call.rows)
        source = Origin(tp.topic, tp.partition, last_offset, call.linkedid.encode(), rows)
        return self._dead_letters.message(source, reason, why, call_id=call.call_id)
