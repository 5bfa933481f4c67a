"""A figure's data on disk: the small table that it is drawn from, and where it came from.

`store` writes `STEM.csv` (one row a curve and training-set size) and `STEM.json` (settings, versions, device, date,
findings); `load` gives back the curves, without the draws behind their intervals, which drawing does not need.
"""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from scaling import results
from scaling.curves import LearningCurves
from scaling.errors import InputError


def store(curves: LearningCurves, stem: Path, manifest: dict[str, Any], findings: Sequence[str] = ()) -> None:
    """Writes the summary of `curves` as CSV and its description as JSON beside it."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    described = {
        "task": curves.task,
        "metric": curves.metric,
        "level": curves.level,
        "n_test": curves.n_test,
        "findings": list(findings),
        "date": datetime.date.today().isoformat(),
        **{key: manifest[key] for key in ("study", "fingerprint", "versions", "device", "begun")},
    }
    results.write_aside(stem.with_suffix(".csv"), lambda p: curves.summary.to_csv(p, index=False, float_format="%.6g"))
    results.write_aside(stem.with_suffix(".json"), lambda p: p.write_text(json.dumps(described, indent=1) + "\n"))


def load(stem: Path) -> tuple[LearningCurves, dict[str, Any]]:
    """The stored curves and their description.

    Raises:
        InputError: a file is missing or cannot be read.
    """
    try:
        described = json.loads(stem.with_suffix(".json").read_text())
        summary = pd.read_csv(stem.with_suffix(".csv"))
    except (OSError, ValueError) as error:
        raise InputError(f"The table {stem.with_suffix('.csv')} and its JSON cannot be read ({error}).") from None
    keep = {key: described[key] for key in ("task", "level", "n_test")}
    return LearningCurves.from_summary(summary, **keep), described
