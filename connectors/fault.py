"""Something that is wrong with a capture, for a person."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong, and what to do."""

    problem: str
    remedy: str

    def lines(self, indent: str = "  ") -> list[str]:
        """For a person."""
        return [f"{indent}{self.problem}", f"{indent}  {self.remedy}"]
