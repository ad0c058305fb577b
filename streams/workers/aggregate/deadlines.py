"""Keys by the time at which each is to be looked at: what is due is found without a look at the others. Pure."""

from heapq import heapify, heappop, heappush

_FEW = 64


class Deadlines:
    """Keys with a time each (milliseconds).

    A time that is put off costs nothing: the key comes at the earlier one, and who takes it puts it in again.
    """

    __slots__ = ("_heap", "_times")

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        """Each key at its time; entries of another time, or of a key that was dropped, do not count any more."""

    def put(self, key: str, at: int) -> None:
        """Have the key come at this time, unless it comes earlier already."""
        known = self._times.get(key)
        if known is not None and known <= at:
            return
        self._times[key] = at
        heappush(self._heap, (at, key))
        self._tidy()

    def drop(self, key: str) -> None:
        """The key does not come any more."""
        if self._times.pop(key, None) is not None:
            self._tidy()

    def take(self, now: int) -> list[str]:
        """The keys whose time has come, earliest first. They are not in here any more."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heappop(self._heap)
            if self._times.get(key) == at:
                del self._times[key]
                due.append(key)
        return due

    @property
    def first(self) -> tuple[int, str] | None:
        """The earliest time, and the key that has it; None: there is none."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        return self._heap[0] if self._heap else None

    @property
    def next(self) -> int | None:
        """The earliest time of a key; None: there is none."""
        first = self.first
        return None if first is None else first[0]

    def _tidy(self) -> None:
        """Keep the memory in proportion to the keys: at most half of the heap does not count."""
        if len(self._heap) > 2 * len(self._times) + _FEW:
            self._heap = [(at, key) for key, at in self._times.items()]
            heapify(self._heap)


class CoarseDeadlines:
    """The same for very many keys, with 8 bytes for each: a key comes only when the second of its time is over.

    A key that is put in twice comes twice, and none can be dropped: who takes it asks whether it is due.
    """

    __slots__ = ("_keys", "_seconds")

    def __init__(self) -> None:
        self._keys: dict[int, list[str]] = {}
        """By second."""
        self._seconds: list[int] = []
        """A heap of them."""

    def put(self, key: str, at: int) -> None:
        """Have the key come after this time (milliseconds)."""
        second = at // 1000
        keys = self._keys.get(second)
        if keys is None:
            keys = self._keys[second] = []
            heappush(self._seconds, second)
        keys.append(key)

    def take(self, now: int) -> list[str]:
        """The keys of the seconds before this one (milliseconds), earliest first. They are not in here any more."""
        due: list[str] = []
        while self._seconds and self._seconds[0] < now // 1000:
            due += self._keys.pop(heappop(self._seconds))
        return due
