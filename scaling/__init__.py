"""Vectorised scaling studies in JAX: how performance grows with data and with model size, measured.

    study = scaling.Study("mine", task, learners, train_sizes)
    plan = scaling.plan(study)
    results = scaling.run(study, out="runs/mine")

Names are looked up when they are used, so that redrawing a figure loads neither Flax nor JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaling import learners, tasks
    from scaling.errors import InputError
    from scaling.planner import Plan, plan
    from scaling.results import Results
    from scaling.runner import run
    from scaling.study import Study
    from scaling.tasks import Task

__version__ = "0.1.0"
__all__ = ["InputError", "Plan", "Results", "Study", "Task", "learners", "plan", "run", "tasks"]

_HOME = {
    "InputError": "errors", "Plan": "planner", "plan": "planner", "Results": "results", "run": "runner",
    "Study": "study", "Task": "tasks",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("learners", "tasks", "plot", "curves"):
        return importlib.import_module(f"scaling.{name}")
    if name not in _HOME:
        raise AttributeError(f"scaling has no {name!r}")
    return getattr(importlib.import_module(f"scaling.{_HOME[name]}"), name)
