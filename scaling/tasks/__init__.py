"""Labelled data with fixed splits and a metric: embedded, from arrays, or synthetic with a known answer."""

from scaling.tasks.covertype import covertype
from scaling.tasks.memory import memory, memory_error
from scaling.tasks.task import Task
from scaling.tasks.teacher import KnownLaw, teacher, teacher_law

__all__ = ["KnownLaw", "Task", "covertype", "memory", "memory_error", "teacher", "teacher_law"]
