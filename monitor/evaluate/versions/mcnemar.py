"""McNemar's exact test: do two versions decide wrongly equally often on the same rows; changes with that test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr


@dataclass(frozen=True, slots=True)
class McNemar:
    """Rows that one version decided rightly and the other wrongly.

    Attributes:
        only_stable_wrong: rows that only the stable version decided wrongly.
        only_candidate_wrong: rows that only the candidate did.
        p_value: two-sided, exact; None where several rows are of one request, which are not independent. Good for one look only.
    """

    only_stable_wrong: int
    only_candidate_wrong: int
    p_value: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "only_stable_wrong": self.only_stable_wrong,
            "only_candidate_wrong": self.only_candidate_wrong,
            "p_value": self.p_value,
        }


def mcnemar(
    stable_wrong: npt.NDArray[np.bool_], candidate_wrong: npt.NDArray[np.bool_], *, independent: bool
) -> McNemar:
    """Return the counts and the test of rows (n,); `independent` where each row is of a request of its own."""
    stable = int((stable_wrong & ~candidate_wrong).sum())
    candidate = int((candidate_wrong & ~stable_wrong).sum())
    # Either version is the wrong one with probability a half; doubling the smaller tail of a symmetric distribution is exact.
    tails = 2.0 * float(bdtr(min(stable, candidate), stable + candidate, 0.5))
    return McNemar(stable, candidate, min(1.0, tails) if independent else None)
