"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Grade = Literal["OK", "WARNING", "FAULT"]  #: of a fault, no download succeeds


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    grade: Grade
    what: str
    sentence: str  #: of a fault or a warning: also what to do
