"""The plan of a study: which models share a compiled program, which ride together, and what it will cost.

Takes a `Study`; gives a `Plan` of groups (one compiled program each) and chunks (what runs at once on one device,
one file in the store). Nothing is trained, apart from a few probe steps that check that each padded network and
the same network alone agree.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from scaling import devices, evaluate, padding, sampling, train
from scaling.learners import networks
from scaling.study import Model, Study

# On a CPU the parameters, gradients and optimiser state of a chunk must stay in cache: sixteen stacked Adam
# networks of width 256 on 784 inputs (65 MB) ran at half the speed of one at a time, four (16 MB) did not.
CPU_CHUNK_BYTES = 16e6
CPU_CHUNK_MODELS = (4, 32)
STATE_COPIES = 4  # parameters, gradients and two moments
MAX_WASTE = {"cpu": 1.25, "gpu": 4.0, "tpu": 4.0}  # executed over useful FLOPs of a padded network
EFFICIENCY = {"network": 0.5, "convex": 0.4}  # share of a large matrix product's rate, typical
ESTIMATOR_SECONDS = 1e-4  # of one scikit-learn fit and its evaluation, for each training example, typical
CHUNK_SECONDS = 0.1  # of making a chunk's arrays and writing its rows
COMPILE_SECONDS = 4.0
SOLVER_PASSES = 80  # typical number of passes of the convex solver over its training set
PROBE_STEPS, PROBE_ROWS = 4, 16


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
            f"about {in_words(self.seconds)} on this machine, compilation included"
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
        needs_rng=train.draws_random_numbers(module, example(study)),
    )


def example(study: Study) -> jax.ShapeDtypeStruct:
    """Shape and type of a minibatch of one, as the modules see it."""
    x = study.task.x
    dtype = jnp.float32 if study.task.standardize else jax.dtypes.canonicalize_dtype(x.dtype)
    return jax.ShapeDtypeStruct((1, *x.shape[1:]), dtype)


def initial_variables(module: nn.Module, x: jax.ShapeDtypeStruct, key: Any) -> Any:
    """A network's variables at its own size, by its ordinary Flax `init`."""
    return module.init({"params": key, "dropout": key}, jnp.zeros(x.shape, x.dtype))


@functools.lru_cache(maxsize=4096)
def flops_per_example(module: nn.Module, shape: tuple[int, ...], dtype: Any, *, training: bool) -> float:
    """Floating-point operations of one example, forward alone or forward and backward, as the compiler counts."""
    rows = 64

    def forward(variables: Any, x: Any) -> Any:
        rngs = {"dropout": jax.random.key(0)}
        mutable = sorted(set(variables) - {"params", "lanes"})
        return module.apply(variables, x, mutable=mutable, rngs=rngs)[0].sum()

    x = jax.ShapeDtypeStruct((rows, *shape[1:]), dtype)
    variables = jax.eval_shape(module.init, {"params": jax.random.key(0), "dropout": jax.random.key(0)}, x)
    function = jax.grad(forward) if training else forward
    cost = jax.jit(function).lower(variables, x).cost_analysis() or {}
    return float(cost.get("flops", 0.0)) / rows


@functools.lru_cache(maxsize=1)
def matmul_flops_per_second() -> float:
    """Rate of a large matrix product on one device of this machine, measured (about 0.2 s)."""
    n = 1024 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((n, n), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    seconds = []
    for _ in range(5):
        begin = time.perf_counter()
        jax.block_until_ready(product(a))
        seconds.append(time.perf_counter() - begin)
    return 2 * n**3 / min(seconds)


def _own_groups(learner: Any) -> list[Group]:
    return [Group(learner.name, learner.kind, (dict(size),), dict(size)) for size in learner.sizes]


def _network_groups(study: Study, learner: Any, waste: float) -> list[Group]:
    """From the largest size down: each joins a group if padding is cheap there and the probe agrees."""
    x = example(study)
    modules = {i: learner.module(size, study.task.n_classes) for i, size in enumerate(learner.sizes)}
    cost = {i: flops_per_example(m, x.shape, x.dtype, training=True) for i, m in modules.items()}
    opened: list[list[int]] = []
    notes: dict[int, str] = {}
    for i in sorted(modules, key=lambda i: -cost[i]):
        for members in opened:
            if members[0] in notes or cost[members[0]] > waste * cost[i]:
                continue
            reason = probe(learner, modules[i], modules[members[0]], x, study.task.n_classes)
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


def probe(learner: Any, small: nn.Module, large: nn.Module, x: jax.ShapeDtypeStruct, n_classes: int) -> str | None:
    """Trains `small` alone and padded into `large` for a few steps; one sentence where they part, else None."""
    alone = jax.jit(lambda key: initial_variables(small, x, key))(jax.random.key(0))
    like = jax.eval_shape(lambda key: initial_variables(large, x, key), jax.random.key(0))
    try:
        padded = padding.pad(jax.tree.map(np.asarray, alone), like, learner.blocks)
        mask = padding.live_mask(alone, like, learner.blocks)["params"]
    except padding.CannotPad as error:
        return str(error)
    trajectory = functools.partial(_trajectory, learner, x, n_classes)
    return padding.disagreement(trajectory, (small, alone), (large, padded, mask))


def _trajectory(
    learner: Any, x: jax.ShapeDtypeStruct, n_classes: int, module: nn.Module, variables: Any, mask: Any
) -> Any:
    """Loss at each probe step on random data, by the training code itself."""
    setup = train.Setup(
        module, learner.optimizer, n_classes, batch_size=PROBE_ROWS, evaluations=1, warmup=0.0,
        standardize=jnp.issubdtype(x.dtype, jnp.floating), needs_rng=train.draws_random_numbers(module, x),
    )  # fmt: skip
    labels_like = jax.eval_shape(lambda v, a: module.apply(v, a), variables, x).shape[1:-1]
    stream, data = _probe_data(x, n_classes, labels_like)
    hyper = {k: np.float64(sorted(v)[len(v) // 2]) for k, v in learner.grid(learner.sizes[0]).items()}
    member = train.Member(variables, mask, hyper, jax.random.key(1))

    def losses(member: train.Member, stream: sampling.Stream, data: sampling.Data) -> Any:
        one = lambda state, _: train.step(setup, member, stream, data, state)  # noqa: E731
        return jax.lax.scan(one, train.start(setup, member, stream), None, length=PROBE_STEPS)[1]

    return jax.jit(losses)(member, stream, data)


def _probe_data(x: jax.ShapeDtypeStruct, n_classes: int, label_shape: tuple[int, ...]) -> Any:
    """A stream over one full minibatch of random rows."""
    random, shape = np.random.default_rng(0), (1, PROBE_ROWS, *x.shape[1:])
    floats = jnp.issubdtype(x.dtype, jnp.floating)
    values = random.standard_normal(shape) if floats else random.integers(0, 2, shape).astype(x.dtype)
    labels = random.integers(0, n_classes, (1, PROBE_ROWS, *label_shape)).astype(np.int32)
    pad = lambda a: np.pad(a, [(0, 0), (PROBE_ROWS, PROBE_ROWS)] + [(0, 0)] * (a.ndim - 2))  # noqa: E731
    data = sampling.Data(pad(values), pad(labels), values, labels, values, labels, np.int32(PROBE_ROWS))
    stream = sampling.Stream(
        np.int32(0), np.int32(PROBE_ROWS), np.int32(10 * PROBE_STEPS), np.full(PROBE_STEPS, PROBE_ROWS, np.int32),
        np.int32(PROBE_ROWS), np.zeros(x.shape[1:]), np.ones(x.shape[1:]),
    )  # fmt: skip
    return stream, data


def _chunks(study: Study, number: int, group: Group) -> list[Chunk]:
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
        flops = executed_flops(study, group, train_size, room) * room
        seconds = _seconds(group, flops, train_size)
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
    seconds = sum(c.seconds - CHUNK_SECONDS for c in chunks) + CHUNK_SECONDS
    return Chunk(chunks[0].group, streams, chunks[0].slots, flops, seconds)


def _seconds(group: Group, flops: float, train_size: int) -> float:
    if group.kind == "estimator":
        return CHUNK_SECONDS + ESTIMATOR_SECONDS * train_size
    return CHUNK_SECONDS + flops / (EFFICIENCY[group.kind] * matmul_flops_per_second())


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
    return networks.count_parameters(module, example(study))


def executed_flops(study: Study, group: Group, train_size: int, sharing: int, passes: float = SOLVER_PASSES) -> float:
    """What one model of a group costs as it is carried out, `sharing` models riding together."""
    learner = study.learner(group.learner)
    if group.kind == "network":
        return _network_flops(study, learner, group.largest, train_size, learner.batch_size)
    return _convex_flops(study, group, train_size, passes, sharing) if group.kind == "convex" else 0.0


def useful_flops(study: Study, group: Group, model: Model, passes: float = SOLVER_PASSES) -> float:
    """What a model alone needs for the examples that it sees."""
    learner = study.learner(model.learner)
    if group.kind == "network":
        rows = min(learner.batch_size, model.train_size)
        return _network_flops(study, learner, dict(model.size), model.train_size, rows)
    return _convex_flops(study, group, model.train_size, passes, 1) if group.kind == "convex" else 0.0


def _convex_flops(study: Study, group: Group, train_size: int, passes: float, sharing: int) -> float:
    """Two products with the features a pass; making random features and the Gram matrix is shared."""
    inputs = math.prod(study.task.x.shape[1:])
    features = group.largest.get("features", inputs)
    making = 2 * inputs * features if "features" in group.largest else 0
    shared = passes * making + 2 * features**2
    return train_size * (passes * 4 * features * study.task.n_classes + shared / sharing)


def _network_flops(study: Study, learner: Any, size: Mapping[str, int], train_size: int, rows: int) -> float:
    x = example(study)
    module = learner.module(size, study.task.n_classes)
    step = flops_per_example(module, x.shape, x.dtype, training=True) * rows
    scored = len(study.task.test) + study.validation_size(train_size) + min(train_size, evaluate.TRAIN_ROWS)
    forward = flops_per_example(module, x.shape, x.dtype, training=False)
    return step * learner.steps(train_size) + forward * scored * learner.evaluations


def _summed_up(study: Study, groups: list[Group], chunks: list[Chunk]) -> Plan:
    useful = [_useful(study, group, [c for c in chunks if c.group == i]) for i, group in enumerate(groups)]
    executed = [sum(c.flops for c in chunks if c.group == i) for i in range(len(groups))]
    waste = tuple(e / u if u else 1.0 for u, e in zip(useful, executed, strict=True))
    n_devices = len(jax.devices())
    work = max(sum(c.seconds for c in chunks) / n_devices, chunks[0].seconds)
    compiling = COMPILE_SECONDS * sum(g.kind != "estimator" for g in groups)
    state = max(_parameters(study, groups[c.group]) * 4 * STATE_COPIES * c.slots * len(c.streams) for c in chunks)
    memory = n_devices * (state + study.task.x.nbytes * 1.1)
    return Plan(
        study.name, tuple(groups), tuple(chunks), sum(useful), sum(executed), memory, work + compiling,
        len(study.models), devices.in_words(), waste,
    )  # fmt: skip


def _useful(study: Study, group: Group, chunks: Sequence[Chunk]) -> float:
    return sum(useful_flops(study, group, study.models[i]) for c in chunks for stream in c.streams for i in stream)


def in_words(seconds: float) -> str:
    """A time as a person says it: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def pool_rows(study: Study, replicate: int) -> np.ndarray:
    """Rows of the task's arrays in the order of one replicate's permutation."""
    return study.task.pool[sampling.pool_order(study.seed, replicate, len(study.task.pool))]
