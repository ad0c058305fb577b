"""Replacements for the numbers, names and addresses of a few calls: an original always becomes the same word. Pure.

What classifying looks at stays: lengths, country and area, who is an extension, the order of numbers that begin alike.
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

TAIL = 7
"""Last digits of a number that are replaced; what stands before them, country and area, stays."""

_ADDRESSES = r"""
    (?P<uniqueid> (?<![0-9.]) [0-9]{10} \. [0-9]+ (?![0-9.]) )
  | (?P<uuid> \b [0-9a-f]{8} (?: -[0-9a-f]{4} ){3} -[0-9a-f]{12} \b )
  | (?P<suffix> - [0-9a-f]{8} (?= [;,&"\s] | $ ) )
  | (?P<uri> (?: sips? | tel ) : (?P<uri_user> [^@;>\s",:]+ ) (?: @ (?P<uri_host> [^;>:\s",]+ ) )? )
  | (?P<mail> (?P<mail_user> [\w.+%-]+ ) @ (?P<mail_host> (?: [a-z0-9-]+ \. )+ [a-z]{2,} ) (?![\w.-]) )
  | (?P<ip> (?<![0-9.]) [0-9]{1,3} (?: \. [0-9]{1,3} ){3} (?![0-9.]) )
  | (?P<ip6> (?<![\w:]) (?: [0-9a-f]{0,4} : ){2,7} [0-9a-f]{1,4} (?![\w:]) )
  | (?P<host> (?<![\w.-]) (?: [a-z0-9] [a-z0-9-]* \. )+ [a-z]{2,} (?![\w-]) )
"""
_NUMBERS = r"""
    (?P<star> \*+ (?P<star_digits> [0-9]{2,} ) )
  | (?P<long> (?<![0-9]) [0-9]{7,} (?![0-9]) )
  | (?P<short> (?<![A-Za-z0-9_]) [0-9]{2,6} (?![A-Za-z0-9_]) )
"""


def _tokens(words: Iterable[str] = ()) -> re.Pattern[str]:
    """The tokens of a text, matched in this order: ids that stay, addresses, known words, feature codes, numbers."""
    known = "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word)))
    word = rf"| (?P<word> (?<![A-Za-z0-9_.]) (?-i:{known}) (?![A-Za-z0-9_]) )" if known else ""
    return re.compile(f"{_ADDRESSES} {word} | {_NUMBERS}", re.VERBOSE | re.IGNORECASE)


_KINDS = ("uniqueid", "uuid", "suffix", "uri", "mail", "ip", "ip6", "host", "star", "long", "short")
_ANY = _tokens()


@dataclass(slots=True)
class Originals:
    """The numbers, names and addresses found in the rows, before anything is replaced."""

    numbers: set[str] = field(default_factory=set)
    """Numbers as written: digits, a plus before them or not."""
    endpoints: set[str] = field(default_factory=set)
    """Names of phones and trunks that are not numbers."""
    queues: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)

    def add_text(self, text: str) -> None:
        """Note everything in a text that looks like an address or a number."""
        for found in _ANY.finditer(text):
            kind = _kind(found)
            if kind in ("uri", "mail"):
                self.add_party(found[f"{kind}_user"], self.users)
                if found[f"{kind}_host"]:
                    self.hosts.add(found[f"{kind}_host"].lower())
            elif kind in ("host", "ip", "ip6"):
                self.hosts.add(found[0].lower())
            elif kind == "long" or (kind == "short" and len(found[0]) > 4):
                self.numbers.add(found[0])

    def add_party(self, text: str, others: set[str]) -> None:
        """Note a number, or a word that goes to `others`."""
        if re.fullmatch(r"\+?[0-9]+", text):
            self.numbers.add(text)
        elif text:
            others.add(text)
            self.add_text(text)


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """The replacement of each original."""

    tails: dict[str, str]
    """The last seven digits: so +7916.., 8916.. and 916.. of one subscriber stay one subscriber."""
    shorts: dict[str, str]
    words: dict[str, str]
    """Endpoints, queues and names."""
    hosts: dict[str, str]
    users: dict[str, str]
    _tokens: re.Pattern[str]

    @classmethod
    def of(
        cls,
        originals: Originals,
        shape: Callable[[str], Hashable],
        *,
        trunks: Collection[str] = (),
        keep_trunks: bool = False,
    ) -> "Pseudonyms":
        """Choose the replacements.

        `shape`: what must stay of a number: its side, whether it is valid. `trunks`: the endpoints outside.
        """
        words: dict[str, str] = {}
        outside = sorted(originals.endpoints & set(trunks))
        if not keep_trunks:
            words |= _counted(outside, "trunk{}")
        words |= _counted(sorted(originals.endpoints - set(trunks)), "phone{}")
        words |= _counted(sorted(originals.queues - set(words)), "queue{}")
        words |= _counted(sorted(originals.names - set(words)), "Person {}")
        ips = sorted(host for host in originals.hosts if host.replace(".", "").isdigit())
        ip6s = sorted(host for host in originals.hosts if ":" in host)
        named = sorted(originals.hosts - set(ips) - set(ip6s))
        hosts = _counted(ips, "192.0.2.{}") | _counted(ip6s, "2001:db8::{}") | _counted(named, "host{}.example")
        # A name of one or two letters is replaced in its own column alone: as a word it would be found everywhere.
        looked_for = {word for word in words if len(word) > 2 or word in originals.endpoints}
        return cls(
            tails=_tails(originals.numbers, shape),
            shorts=_shorts(originals.numbers, shape),
            words=words,
            hosts=hosts,
            users=_counted(sorted(originals.users - set(words)), "user{}"),
            _tokens=_tokens(looked_for),
        )

    def text(self, text: str) -> str:
        """A text with everything replaced."""
        return self._tokens.sub(self._replaced, text)

    def name(self, text: str) -> str:
        """A caller's name, which is one word even where it is many."""
        return self.words.get(text.strip()) or self.text(text)

    def long_numbers(self, text: str) -> str:
        """A text in which only numbers of seven digits and more are replaced."""
        return re.sub(r"(?<![0-9])[0-9]{7,}(?![0-9])", lambda found: self._number(found[0]), text)

    def _replaced(self, found: re.Match[str]) -> str:
        if (word := self.words.get(found[0])) is not None:
            return word
        kind = _kind(found)
        if kind in ("uniqueid", "uuid", "suffix"):
            return found[0]
        if kind in ("host", "ip", "ip6"):
            return self.hosts.get(found[0].lower(), found[0])
        if kind in ("uri", "mail"):
            user, host = found[f"{kind}_user"], found[f"{kind}_host"]
            scheme = found[0].partition(":")[0] + ":" if kind == "uri" else ""
            replaced = self.words.get(user) or self.users.get(user) or self._number(user)
            return scheme + replaced + (f"@{self.hosts.get(host.lower(), host)}" if host else "")
        if kind == "star":
            digits = found["star_digits"]
            stars = found[0][: -len(digits)]
            return stars + self._feature(digits)
        return self._number(found[0])

    def _feature(self, digits: str) -> str:
        """The replacement of what follows a feature code's star: the code, and perhaps a number."""
        for start in range(1, len(digits) - 1):
            if digits[start:] in self.shorts:
                return digits[:start] + self.shorts[digits[start:]]
        return self._number(digits)

    def _number(self, text: str) -> str:
        digits = text.removeprefix("+")
        if len(digits) < TAIL:
            return text.removesuffix(digits) + self.shorts.get(digits, digits)
        return text[:-TAIL] + self.tails.get(text[-TAIL:], text[-TAIL:])


def _kind(found: re.Match[str]) -> str:
    return next(name for name in _KINDS if found[name] is not None)


def _counted(originals: Iterable[str], pattern: str) -> dict[str, str]:
    return {original: pattern.format(number) for number, original in enumerate(originals, start=1)}


def _tails(numbers: set[str], shape: Callable[[str], Hashable]) -> dict[str, str]:
    """Rising with the originals, so that what is sorted stays sorted."""
    by_tail: dict[str, list[str]] = {}
    for number in numbers:
        if len(number.removeprefix("+")) >= TAIL:
            by_tail.setdefault(number[-TAIL:], []).append(number)
    replaced: dict[str, str] = {}
    for rank, tail in enumerate(sorted(by_tail)):
        spellings = by_tail[tail]
        choices = [*_candidates(tail, rank)]
        fitting = (
            each
            for each in choices
            if all(shape(number[:-TAIL] + each) == shape(number) for number in spellings)
        )  # fmt: skip
        replaced[tail] = next(fitting, choices[0])
    return replaced


def _candidates(tail: str, rank: int) -> Iterator[str]:
    """First what looks made up; then more and more of the original's first digits, where numbering plans want them."""
    for kept in (0, 1, 2, 3):
        head = (tail[:kept] + "555")[: max(3, kept)]
        yield f"{head}{(100 + rank) % 10_000:04}"


def _shorts(numbers: set[str], shape: Callable[[str], Hashable]) -> dict[str, str]:
    """Extensions and other short numbers: length and first digit stay, and the order."""
    classes: dict[tuple[int, str], list[str]] = {}
    for number in sorted({number.removeprefix("+") for number in numbers}):
        if 1 < len(number) < TAIL:
            classes.setdefault((len(number), number[0]), []).append(number)
    replaced: dict[str, str] = {}
    for (length, first), originals in classes.items():
        room = 10 ** (length - 1)
        begin = room // 10  # 1100 rather than 1000: extensions often begin there
        taken: set[str] = set()
        for original in originals:
            choices = (f"{first}{number % room:0{length - 1}}" for number in range(begin, begin + room))
            free = [each for each in islice(choices, 2 * len(originals) + 20) if each not in taken]
            fitting = chain(
                (each for each in free if each not in originals and shape(each) == shape(original)),
                (each for each in free if shape(each) == shape(original)),
                free,
                [original],
            )
            replaced[original] = next(fitting)
            taken.add(replaced[original])
    return replaced
