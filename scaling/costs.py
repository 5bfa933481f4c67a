"""What training costs: floating-point operations of each kind of learner, and an estimate of the seconds.

Takes a `Study`, a learner and sizes. *Useful* is what a model alone needs; *executed* is what is spent on it in its
group, with padding and masked rows, less what models that ride together share.
"""

import functools
import math
import time
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from scaling import evaluate
from scaling.learners import networks
from scaling.study import Study

EFFICIENCY = {"network": 0.5, "convex": 0.4}  # share of a large matrix product's rate, typical
ESTIMATOR_SECONDS = 1e-4  # of one scikit-learn fit and its evaluation, for each training example, typical
CHUNK_SECONDS = 0.1  # of making a chunk's arrays and writing its rows
COMPILE_SECONDS = 4.0
SOLVER_PASSES = 80  # typical number of passes of the convex solver over its training set


def executed_flops(
    study: Study, learner: Any, largest: Mapping[str, int], train_size: int, sharing: int, passes: float = SOLVER_PASSES
) -> float:
    """What one model costs as it is carried out: padded to `largest`, `sharing` models riding together."""
    if learner.kind == "network":
        return _network_flops(study, learner, largest, train_size, learner.batch_size)
    return _convex_flops(study, largest, train_size, passes, sharing) if learner.kind == "convex" else 0.0


def useful_flops(
    study: Study, learner: Any, size: Mapping[str, int], train_size: int, passes: float = SOLVER_PASSES
) -> float:
    """What one model alone needs for the examples that it sees; 0 for scikit-learn's learners."""
    if learner.kind == "network":
        return _network_flops(study, learner, size, train_size, min(learner.batch_size, train_size))
    return _convex_flops(study, size, train_size, passes, 1) if learner.kind == "convex" else 0.0


def seconds(kind: str, flops: float, train_size: int) -> float:
    """Estimated time of a chunk on one device of this machine."""
    if kind == "estimator":
        return CHUNK_SECONDS + ESTIMATOR_SECONDS * train_size
    return CHUNK_SECONDS + flops / (EFFICIENCY[kind] * matmul_flops_per_second())


@functools.lru_cache(maxsize=4096)
def flops_per_example(module: nn.Module, x: jax.ShapeDtypeStruct, *, training: bool) -> float:
    """Floating-point operations of one example, forward alone or forward and backward, as the compiler counts.

    `x` is the shape and type of a minibatch of one.
    """
    rows = 64

    def forward(variables: Any, x: Any) -> Any:
        rngs = {"dropout": jax.random.key(0)}
        mutable = sorted(set(variables) - {"params", "lanes"})
        named = networks.keywords(module, training, jnp.ones(rows, bool))
        return module.apply(variables, x, mutable=mutable, rngs=rngs, **named)[0].sum()

    many = jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype)
    variables = networks.variable_shapes(module, x)
    function = jax.grad(forward) if training else forward
    cost = jax.jit(function).lower(variables, many).cost_analysis() or {}
    return float(cost.get("flops", 0.0)) / rows


@functools.lru_cache(maxsize=1)
def matmul_flops_per_second() -> float:
    """Rate of a large matrix product on one device of this machine, measured (about 0.2 s)."""
    n = 1024 if jax.default_backend() == "cpu" else 8192
    a = jnp.ones((n, n), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        jax.block_until_ready(product(a))
        found.append(time.perf_counter() - begin)
    return 2 * n**3 / min(found)


def in_words(seconds: float) -> str:
    """A time as a person says it: 40 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _convex_flops(study: Study, size: Mapping[str, int], train_size: int, passes: float, sharing: int) -> float:
    """Two products with the features a pass; making random features and the Gram matrix is shared."""
    inputs = math.prod(study.task.x.shape[1:])
    features = size.get("features", inputs)
    making = 2 * inputs * features if "features" in size else 0
    shared = passes * making + 2 * features**2
    return train_size * (passes * 4 * features * study.task.n_classes + shared / sharing)


def _network_flops(study: Study, learner: Any, size: Mapping[str, int], train_size: int, rows: int) -> float:
    """Steps on minibatches of `rows` examples, and the evaluations."""
    module, x = learner.module(size, study.task.n_classes), networks.example(study.task)
    scored = len(study.task.test) + study.validation_size(train_size) + min(train_size, evaluate.TRAIN_ROWS)
    stepping = flops_per_example(module, x, training=True) * rows * learner.steps(train_size)
    return stepping + flops_per_example(module, x, training=False) * scored * learner.evaluations
