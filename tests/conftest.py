"""Shared test settings: strict JAX, warnings as errors (pyproject.toml), Matplotlib without a screen."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
