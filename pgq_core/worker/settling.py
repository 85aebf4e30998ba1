"""Which positions no open transaction can still bring."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Settling:
    """Which positions no open transaction can still bring.

    A claim reads the last position drawn and later gets a transaction id: every transaction that
    drew up to that position has a smaller id. Once the oldest open transaction is not smaller, they
    have all ended.
    """

    pairs: list[tuple[int, int]] = field(default_factory=list)

    def note(self, last: int, xid: int | None) -> None:
        """Remember a pair; at most eight wait, the newest gives way."""
        if xid is not None:
            if len(self.pairs) >= 8:
                self.pairs.pop()
            self.pairs.append((last, xid))

    def oldest(self) -> tuple[int, int] | None:
        """The pair to ask about next."""
        return self.pairs[0] if self.pairs else None

    def settled(self, pair: tuple[int, int]) -> None:
        """That pair has settled; it and all older ones are done with."""
        self.pairs = [p for p in self.pairs if p[1] > pair[1]]
