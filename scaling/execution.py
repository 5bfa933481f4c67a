"""Carries out one chunk of a plan on one device: trains its models and gives their rows of the table (`scaling.rows`).

There is one way for each kind of learner: networks through `scaling.train`, convex learners through
`scaling.learners.convex`, scikit-learn's estimators one at a time. `Bench` holds what chunks on one device share:
compiled programs and the permuted data.
"""

import dataclasses
import functools
import hashlib
import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from scaling import evaluate, padding, planner, rows, sampling, train
from scaling.learners import convex, networks
from scaling.planner import Chunk, Group, Plan
from scaling.study import Model, Study

CACHED_DATA_BYTES = 3e9  # permuted copies of the pool that a device keeps


class Stopped(Exception):
    """The run was asked to stop before the chunk was finished."""


def model_key(study: Study, model: Model, purpose: str) -> np.ndarray:
    """Key data, uint32 [2], of a model's initialisation or dropout.

    Models that differ only in hyperparameters share it, as do those of different training-set sizes.
    """
    identity = (study.seed, purpose, model.learner, sorted(model.size), model.replicate, model.init_seed)
    return np.frombuffer(hashlib.blake2b(repr(identity).encode(), digest_size=8).digest(), np.uint32)


class Programs:
    """Compiled programs, shared by all devices; `traces` counts how often a training program was traced."""

    def __init__(self, study: Study, plan: Plan) -> None:
        self.study, self.plan, self.traces = study, plan, 0
        self._lock = threading.Lock()
        self._made: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """`make()` the first time, the same object from then on."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def networks(self, number: int, ragged: bool) -> tuple[train.Setup, Callable[..., Any], Callable[..., Any]]:
        """Setup, `start` and `advance` of a group of networks."""

        def make() -> Any:
            setup = planner.network_setup(self.study, self.plan.groups[number], ragged=ragged)
            start, advance = train.vectorised(setup)

            def counted(*args: Any) -> Any:
                self.traces += 1
                return advance(*args)

            return setup, jax.jit(start), jax.jit(counted, donate_argnums=3)

        return self.once((number, ragged), make)

    def initialiser(self, group: Group, size: tuple[tuple[str, int], ...]) -> Callable[..., Any]:
        """Key data [n, 2] → variables of n networks, each initialised at its own size and padded."""

        def make() -> Any:
            learner, x = self.study.learner(group.learner), networks.example(self.study.task)
            module = learner.module(dict(size), self.study.task.n_classes)
            like = padded_shapes(self.study, group)

            def one(data: Any) -> Any:
                key = jax.random.wrap_key_data(data, impl="threefry2x32")
                return padding.pad(networks.initial_variables(module, x, key), like, learner.blocks)

            return jax.jit(jax.vmap(one))

        return self.once((group.learner, size, tuple(group.largest.items())), make)

    def convex(self, number: int) -> Callable[..., Any]:
        """The solver and the evaluation of a convex group, over its penalties."""
        return self.once(("convex", number), lambda: jax.jit(_convex_program(self.study, self.plan.groups[number])))


def padded_shapes(study: Study, group: Group) -> Any:
    """Shapes of the variables of a group's largest member."""
    module = study.learner(group.learner).module(group.largest, study.task.n_classes)
    x = networks.example(study.task)
    return networks.variable_shapes(module, x)


class Bench:
    """One device (or none, for scikit-learn) and the data placed on it."""

    def __init__(self, programs: Programs, device: Any, stop: threading.Event) -> None:
        self.programs, self.device, self.stop = programs, device, stop
        self.study = programs.study
        copies = max(1, int(CACHED_DATA_BYTES // max(1, self.study.task.x.nbytes)))
        self._place = functools.lru_cache(maxsize=copies)(self._placed)

    def carry_out(self, chunk: Chunk, progress: Callable[[float], None] = lambda share: None) -> pd.DataFrame:
        """Trains a chunk; one that does not fit in memory is split and tried again.

        `progress` is called with shares of the chunk that sum to one.
        """
        begin = time.perf_counter()
        group = self.programs.plan.groups[chunk.group]
        kinds = {"network": self._networks, "convex": self._convex, "estimator": self._estimator}
        try:
            with jax.default_device(self.device):
                found = kinds[group.kind](chunk, group, progress)
        except jax.errors.JaxRuntimeError as error:
            parts = _halves(chunk)
            if "RESOURCE_EXHAUSTED" not in str(error) or not parts:
                raise
            return pd.concat([self.carry_out(part, lambda share: progress(share / 2)) for part in parts])
        seconds = (time.perf_counter() - begin) / len(found)
        return pd.DataFrame([{**row, "seconds": seconds} for row in found])

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _networks(self, chunk: Chunk, group: Group, progress: Callable[[float], None]) -> list[dict[str, Any]]:
        study, learner = self.study, self.study.learner(group.learner)
        models = [[study.models[i] for i in stream] for stream in chunk.streams]
        budgets = {learner.steps(stream[0].train_size) for stream in models}
        setup, start, advance = self.programs.networks(chunk.group, len(budgets) > 1)
        replicates = tuple(sorted({stream[0].replicate for stream in models}))
        streams = _stack([
            self._stream(m, replicates, learner.steps(m.train_size), self._starts(m, learner)) for m, *_ in models
        ])  # fmt: skip
        members = self._members(models, group, chunk.slots)
        data = self._place(replicates, setup.batch_size)
        starts = streams.starts
        members, streams = jax.device_put((members, streams), self.device)
        states = start(members, streams)
        history = []
        for done in range(setup.evaluations):
            self._check()
            states, evaluation = advance(members, streams, data, states, np.int32(done))
            history.append(jax.tree.map(np.asarray, evaluation))
            progress(1 / setup.evaluations)
        return [
            rows.network_row(study, chunk.streams[s][k], group, starts[s], [_pick(e, s, k) for e in history])
            for s, stream in enumerate(models)
            for k in range(len(stream))
        ]

    def _members(self, models: list[list[Model]], group: Group, slots: int) -> train.Member:
        """Members [S, K]; a stream with fewer models than slots repeats its last one."""
        study, learner = self.study, self.study.learner(group.learner)
        full = [[stream[min(k, len(stream) - 1)] for k in range(slots)] for stream in models]
        flat = [model for stream in full for model in stream]
        shape = (len(models), slots)
        keys = np.stack([model_key(study, model, "dropout") for model in flat]).reshape(*shape, 2)
        hyper = {
            name: np.array([dict(m.hyper)[name] for m in flat], np.float32).reshape(shape)
            for name in learner.hyperparameters
        }
        variables = _gather([self._variables(flat, group, size) for size in sorted({m.size for m in flat})], len(flat))
        mask = None if len(group.sizes) == 1 else _stack([self._mask(group, m.size) for m in flat])
        fold = lambda tree: jax.tree.map(lambda a: a.reshape(*shape, *a.shape[1:]), tree)  # noqa: E731
        key = jax.random.wrap_key_data(jnp.asarray(keys), impl="threefry2x32")
        return train.Member(fold(variables), fold(mask), hyper, key)

    def _variables(self, flat: list[Model], group: Group, size: tuple[tuple[str, int], ...]) -> tuple[np.ndarray, Any]:
        """Positions of the models of one size, and their padded initial variables."""
        where = np.array([i for i, model in enumerate(flat) if model.size == size])
        keys = np.stack([model_key(self.study, flat[i], "init") for i in where])
        distinct, back = np.unique(keys, axis=0, return_inverse=True)
        made = self.programs.initialiser(group, size)(distinct)
        return where, jax.tree.map(lambda a: np.asarray(a)[back.reshape(-1)], made)

    def _mask(self, group: Group, size: tuple[tuple[str, int], ...]) -> Any:
        def make() -> Any:
            study, learner = self.study, self.study.learner(group.learner)
            module, x = learner.module(dict(size), study.task.n_classes), networks.example(study.task)
            own = networks.variable_shapes(module, x)["params"]
            return padding.live_mask(own, padded_shapes(study, group)["params"], learner.blocks)

        return self.programs.once(("mask", group.learner, size, tuple(group.largest.items())), make)

    def _stream(self, model: Model, replicates: tuple[int, ...], steps: int, starts: np.ndarray) -> sampling.Stream:
        mean, scale = self._standardisation(model.train_size, model.replicate)
        return sampling.Stream(
            np.int32(replicates.index(model.replicate)), np.int32(model.train_size), np.int32(steps), starts,
            np.int32(self.study.validation_size(model.train_size)), mean, scale,
        )  # fmt: skip

    def _starts(self, model: Model, learner: Any) -> np.ndarray:
        """The blocks of the longest budget of the study, so that every training-set size has the same shapes."""
        longest = max(map(learner.steps, self.study.train_sizes))
        return sampling.block_starts(model.train_size, learner.batch_size, longest, self.study.seed, model.replicate)

    def _standardisation(self, train_size: int, replicate: int) -> tuple[np.ndarray, np.ndarray]:
        task = self.study.task
        if not task.standardize:
            return np.zeros(task.x.shape[1:], np.float32), np.ones(task.x.shape[1:], np.float32)
        at = self.study.pool_rows(replicate)[:train_size]
        return self.programs.once(("standard", train_size, replicate), lambda: sampling.standardisation(task.x[at]))

    def _placed(self, replicates: tuple[int, ...], before: int) -> sampling.Data:
        task, tail = self.study.task, max(evaluate.EVALUATION_BLOCK, before)
        pools = [self.study.pool_rows(r) for r in replicates]
        validations = [self._validation_rows(r) for r in replicates]
        take = lambda a, sets, before: np.stack([sampling.pad_rows(a[at], before, tail) for at in sets])  # noqa: E731
        data = sampling.Data(
            take(task.x, pools, before), take(task.y, pools, before),
            take(task.x, validations, 0), take(task.y, validations, 0),
            take(task.x, [task.test], 0), take(task.y, [task.test], 0), np.int32(len(task.test)),
        )  # fmt: skip
        return jax.device_put(data, self.device)

    def _validation_rows(self, replicate: int) -> np.ndarray:
        order = sampling.generator(self.study.seed, "validation", replicate).permutation(
            len(self.study.task.validation)
        )
        return self.study.task.validation[order]

    def _convex(self, chunk: Chunk, group: Group, progress: Callable[[float], None]) -> list[dict[str, Any]]:
        self._check()
        models = [self.study.models[i] for i in chunk.streams[0]]
        stream = self._stream(models[0], (models[0].replicate,), 0, np.zeros(1, np.int32))
        l2 = np.array([dict(m.hyper)["l2"] for m in models], np.float32)
        gamma = np.float32(dict(models[0].hyper).get("gamma", 1.0))
        solution, evaluation = self.programs.convex(chunk.group)(
            *jax.device_put((l2, gamma, model_key(self.study, models[0], "features"), stream), self.device),
            self._place((models[0].replicate,), 0),
        )
        solution, evaluation = jax.tree.map(np.asarray, (solution, evaluation))
        progress(1.0)
        return [
            rows.convex_row(self.study, i, group, _pick(solution, k), _pick(evaluation, k), len(models))
            for k, i in enumerate(chunk.streams[0])
        ]

    def _estimator(self, chunk: Chunk, group: Group, progress: Callable[[float], None]) -> list[dict[str, Any]]:
        self._check()
        (index,) = chunk.streams[0]
        model, task = self.study.models[index], self.study.task
        mean, scale = self._standardisation(model.train_size, model.replicate)
        prepare = lambda at: ((task.x[at].astype(np.float32) - mean) * scale).reshape(len(at), -1)  # noqa: E731
        train_rows = self.study.pool_rows(model.replicate)[: model.train_size]
        seed = int(model_key(self.study, model, "estimator")[0] >> 1)
        estimator = self.study.learner(model.learner).build(**dict(model.hyper), random_state=seed)
        estimator.fit(prepare(train_rows), task.y[train_rows])
        splits = {
            "train": train_rows[: evaluate.TRAIN_ROWS],
            "validation": self._validation_rows(model.replicate)[: self.study.validation_size(model.train_size)],
            "test": task.test,
        }
        scores, misses = {}, np.zeros(0, bool)
        for split, at in splits.items():
            scores[split], misses = rows.score_on_host(estimator, prepare(at), task.y[at], task.n_classes)
        progress(1.0)
        return [rows.estimator_row(self.study, index, group, scores, misses)]


def _convex_program(study: Study, group: Group) -> Callable[..., Any]:
    learner, n_classes = study.learner(group.learner), study.task.n_classes
    inputs = math.prod(study.task.x.shape[1:])

    def program(l2: Any, gamma: Any, key: Any, stream: sampling.Stream, data: sampling.Data) -> Any:
        fourier = None
        if "features" in group.largest:
            key = jax.random.wrap_key_data(key, impl="threefry2x32")
            fourier = convex.fourier_features(key, inputs, group.largest["features"], gamma)
        mean, scale = stream.mean.reshape(-1), stream.scale.reshape(-1)
        flat = lambda x: x.reshape(x.shape[0], -1)  # noqa: E731

        def one(l2: Any) -> Any:
            solution = convex.solve(
                flat(data.pool_x[0]), data.pool_y[0], stream.size, mean, scale, l2,
                loss=learner.loss, n_classes=n_classes, fourier=fourier,
                max_iterations=learner.max_iterations, tolerance=learner.tolerance,
            )  # fmt: skip
            predict = lambda x: convex.decision(solution, flat(x), mean, scale, fourier)  # noqa: E731
            return solution, evaluate.evaluate(predict, n_classes, 0, stream, data)

        return jax.vmap(one)(l2)

    return program


def _pick(tree: Any, *at: int) -> Any:
    return jax.tree.map(lambda a: a[at], tree)


def _stack(trees: Iterable[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def _gather(parts: list[tuple[np.ndarray, Any]], count: int) -> Any:
    """Rows of several trees, put back at their positions."""
    order = np.argsort(np.concatenate([where for where, _ in parts]))
    assert len(order) == count
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[order], *[tree for _, tree in parts])


def _halves(chunk: Chunk) -> list[Chunk]:
    """A chunk in two parts: half the streams each or, of a single stream, half the models."""
    half = lambda items: (items[: len(items) // 2], items[len(items) // 2 :])  # noqa: E731
    if len(chunk.streams) > 1:
        return [dataclasses.replace(chunk, streams=part, flops=chunk.flops / 2) for part in half(chunk.streams)]
    models = chunk.streams[0]
    if len(models) == 1:
        return []
    slots = math.ceil(len(models) / 2)
    return [dataclasses.replace(chunk, streams=(m,), slots=slots, flops=chunk.flops / 2) for m in half(models)]
