"""The plan of a study: which models share a compiled program, which ride together, and what it will cost.

Takes a `Study`; gives a `Plan` of groups (one compiled program each) and chunks (what runs at once on one device,
one file in the store). Nothing is trained, apart from a few probe steps that check that each padded network and
the same network alone agree.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax

from scaling import costs, devices, probing, train
from scaling.errors import InputError
from scaling.learners import networks
from scaling.study import Study
from scaling.tasks import Task

# On a CPU the parameters, gradients and optimiser state of a chunk must stay in cache: sixteen stacked Adam
# networks of width 256 on 784 inputs (65 MB) ran at half the speed of one at a time, four (16 MB) did not.
CPU_CHUNK_BYTES = 16e6
CPU_CHUNK_MODELS = (4, 32)
STATE_COPIES = 4  # parameters, gradients and two moments
MAX_WASTE = {"cpu": 1.25, "gpu": 4.0, "tpu": 4.0}  # executed over useful FLOPs of a padded network


@dataclasses.dataclass(frozen=True)
class Group:
    """Models that share one compiled program.

    Attributes:
        learner: name of the learner.
        kind: "network", "convex" or "estimator".
        sizes: the sizes that share the program.
        largest: the size they are padded to.
        note: why a size is alone, where that was not the planner's choice.
    """

    learner: str
    kind: str
    sizes: tuple[dict[str, int], ...]
    largest: dict[str, int]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What runs at once: for each stream (training-set size and replicate), the models that see it.

    Attributes:
        group: position of the group in the plan.
        streams: positions of the models in the study, one tuple a stream, all of the same length.
        slots: how many models a stream has room for; a shorter chunk leaves slots idle, so that one program serves.
        flops: floating-point operations that it executes.
        seconds: estimated time on one device.
    """

    group: int
    streams: tuple[tuple[int, ...], ...]
    slots: int
    flops: float
    seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be trained, in which programs, at what cost.

    Attributes:
        study: the study's name.
        groups, chunks: see `Group` and `Chunk`; chunks are in the order in which they start.
        useful_flops: what the models alone need.
        executed_flops: what is spent, padding, masked rows and idle slots included.
        memory_bytes: largest memory of the chunks that run at once, data included.
        seconds: estimated wall time on this machine, compilation included.
        n_models: number of models.
        device: the devices in words.
        waste: for each group, FLOPs of its padded networks over those that they need alone.
    """

    study: str
    groups: tuple[Group, ...]
    chunks: tuple[Chunk, ...]
    useful_flops: float
    executed_flops: float
    memory_bytes: float
    seconds: float
    n_models: int
    device: str
    waste: tuple[float, ...] = ()

    def summary(self) -> str:
        """The plan in three lines."""
        return (
            f"{self.n_models:,} models in {len(self.groups)} programs and {len(self.chunks):,} chunks on "
            f"{self.device}\n"
            f"{self.useful_flops:.3g} useful FLOPs, {self.executed_flops:.3g} executed (padding, masked rows and idle "
            f"slots add, shared features save); {self.memory_bytes / 1e9:.2g} GB of memory\n"
            f"about {costs.in_words(self.seconds)} on this machine, compilation included"
        )

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, for the manifest."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Plan":
        """The plan that a manifest holds."""
        groups = tuple(Group(**{**g, "sizes": tuple(g["sizes"])}) for g in stored["groups"])
        chunks = tuple(Chunk(**{**c, "streams": tuple(map(tuple, c["streams"]))}) for c in stored["chunks"])
        return cls(**{**stored, "groups": groups, "chunks": chunks, "waste": tuple(stored["waste"])})


def plan(study: Study, *, max_waste: float | None = None) -> Plan:
    """Says what will be trained, in which programs, and what it will cost; trains nothing.

    Args:
        study: what is to be measured.
        max_waste: how many times its own FLOPs a padded network may cost, at most; 1.25 on a CPU and 4 on an
            accelerator unless given. 1 gives every size a program of its own; infinity pads all it can.

    >>> scaling.plan(study)  # doctest: +SKIP
    """
    devices.prepare()
    waste = MAX_WASTE.get(jax.default_backend(), 4.0) if max_waste is None else max_waste
    groups: list[Group] = []
    for learner in study.learners:
        found = _network_groups(study, learner, waste) if learner.kind == "network" else _own_groups(learner)
        groups.extend(found)
    chunks = [chunk for i, group in enumerate(groups) for chunk in _chunks(study, i, group)]
    chunks.sort(key=lambda c: -c.seconds)  # the longest first, so that no device waits long at the end
    return _summed_up(study, groups, chunks)


def network_setup(study: Study, group: Group, *, ragged: bool = False) -> train.Setup:
    """What is compiled for a group of networks."""
    learner = study.learner(group.learner)
    module = learner.module(group.largest, study.task.n_classes)
    return train.Setup(
        module,
        learner.optimizer,
        study.task.n_classes,
        batch_size=learner.batch_size,
        evaluations=learner.evaluations,
        standardize=study.task.standardize,
        ragged=ragged,
        needs_rng=train.draws_random_numbers(module, networks.example(study.task)),
    )


def _own_groups(learner: Any) -> list[Group]:
    return [Group(learner.name, learner.kind, (dict(size),), dict(size)) for size in learner.sizes]


def _network_groups(study: Study, learner: Any, waste: float) -> list[Group]:
    """From the largest size down: each joins a group if padding is cheap there and the probe agrees."""
    x = networks.example(study.task)
    modules = {i: learner.module(size, study.task.n_classes) for i, size in enumerate(learner.sizes)}
    for module in modules.values():
        _check_module(learner.name, module, x, study.task)
    cost = {i: costs.flops_per_example(m, x, training=True) for i, m in modules.items()}
    opened: list[list[int]] = []
    notes: dict[int, str] = {}
    for i in sorted(modules, key=lambda i: -cost[i]):
        for members in opened:
            if members[0] in notes or cost[members[0]] > waste * cost[i]:
                continue
            reason = probing.probe(learner, modules[i], modules[members[0]], x, study.task.n_classes)
            if reason is None:
                members.append(i)
                break
            notes[i] = f"{learner.label(learner.sizes[i])} trains in a program of its own: {reason}."
        else:
            opened.append([i])
    sizes = [dict(size) for size in learner.sizes]
    return [
        Group(learner.name, "network", tuple(sizes[i] for i in m), sizes[m[0]], notes.get(m[0], "")) for m in opened
    ]


def _check_module(name: str, module: nn.Module, x: jax.ShapeDtypeStruct, task: Task) -> None:
    """Refuses what would fail, or train wrongly, only later."""
    variables = networks.variable_shapes(module, x)
    if "batch_stats" in variables and not networks.keywords(module, True, True).get("live"):
        raise InputError(
            f"{name} keeps batch statistics: let its __call__ take `live`, which rows of the minibatch count, and give "
            "it to BatchNorm as the mask, since a minibatch may hold rows that are masked."
        )
    predict = lambda variables, x: module.apply(variables, x, **networks.keywords(module, False, None))  # noqa: E731
    classes = jax.eval_shape(predict, variables, x).shape[-1]
    if classes != task.n_classes:
        raise InputError(f"{name} gives {classes} logits, but {task.name} has {task.n_classes} classes.")


def _chunks(study: Study, number: int, group: Group) -> list[Chunk]:
    learner = study.learner(group.learner)
    sizes = [tuple(size.items()) for size in group.sizes]
    streams: dict[tuple[Any, ...], list[int]] = {}
    for i, model in enumerate(study.models):
        if model.learner == group.learner and model.size in sizes:
            # Random features depend on gamma, so that models share a pass over them at the same gamma only.
            gamma = dict(model.hyper).get("gamma") if group.kind == "convex" else None
            streams.setdefault((model.train_size, model.replicate, gamma), []).append(i)
    per_model = _parameters(study, group) * 4 * STATE_COPIES
    room = models_per_chunk(group.kind, per_model, max(map(len, streams.values())))
    chunks = []
    for (train_size, *_), models in streams.items():
        flops = room * costs.executed_flops(study, learner, group.largest, train_size, room)
        seconds = costs.seconds(group.kind, flops, train_size)
        for begin in range(0, len(models), room):
            chunks.append(Chunk(number, (tuple(models[begin : begin + room]),), room, flops, seconds))
    return _together(chunks, group, per_model)


def _together(chunks: list[Chunk], group: Group, per_model: float) -> list[Chunk]:
    """On an accelerator, streams ride together as far as memory allows; on a CPU each is a chunk."""
    if jax.default_backend() == "cpu" or group.kind != "network":
        return chunks
    free = (jax.devices()[0].memory_stats() or {}).get("bytes_limit", 8e9)
    most = max(1, int(0.4 * free / (3 * per_model * chunks[0].slots)))
    chunks = sorted(chunks, key=lambda c: -c.flops)
    even = math.ceil(len(chunks) / math.ceil(len(chunks) / most))
    return [_merged(chunks[i : i + even]) for i in range(0, len(chunks), even)]


def _merged(chunks: Sequence[Chunk]) -> Chunk:
    flops = max(c.flops for c in chunks) * len(chunks)
    streams = tuple(stream for c in chunks for stream in c.streams)
    seconds = sum(c.seconds - costs.CHUNK_SECONDS for c in chunks) + costs.CHUNK_SECONDS
    return Chunk(chunks[0].group, streams, chunks[0].slots, flops, seconds)


def models_per_chunk(kind: str, bytes_per_model: float, available: int) -> int:
    """How many models of one stream advance together; an even share of those there are."""
    if kind == "estimator":
        return 1
    if kind == "convex" or jax.default_backend() != "cpu":
        return available
    least, most = CPU_CHUNK_MODELS
    room = int(min(max(CPU_CHUNK_BYTES / bytes_per_model, least), most))
    return math.ceil(available / math.ceil(available / room))


def _parameters(study: Study, group: Group) -> int:
    if group.kind != "network":
        return math.prod(study.task.x.shape[1:]) * study.task.n_classes
    module = study.learner(group.learner).module(group.largest, study.task.n_classes)
    return networks.count_parameters(module, networks.example(study.task))


def _summed_up(study: Study, groups: list[Group], chunks: list[Chunk]) -> Plan:
    useful = [_useful(study, group, [c for c in chunks if c.group == i]) for i, group in enumerate(groups)]
    executed = [sum(c.flops for c in chunks if c.group == i) for i in range(len(groups))]
    waste = tuple(e / u if u else 1.0 for u, e in zip(useful, executed, strict=True))
    n_devices = len(jax.devices())
    work = max(sum(c.seconds for c in chunks) / n_devices, chunks[0].seconds)
    compiling = costs.COMPILE_SECONDS * sum(g.kind != "estimator" for g in groups)
    state = max(_parameters(study, groups[c.group]) * 4 * STATE_COPIES * c.slots * len(c.streams) for c in chunks)
    memory = n_devices * (state + study.task.x.nbytes * 1.1)
    return Plan(
        study.name, tuple(groups), tuple(chunks), sum(useful), sum(executed), memory, work + compiling,
        len(study.models), devices.in_words(), waste,
    )  # fmt: skip


def _useful(study: Study, group: Group, chunks: Sequence[Chunk]) -> float:
    learner = study.learner(group.learner)
    models = [study.models[i] for c in chunks for stream in c.streams for i in stream]
    return sum(costs.useful_flops(study, learner, dict(m.size), m.train_size) for m in models)
