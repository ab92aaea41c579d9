"""Randomness: what draws, what seeds it, and the fix that writes the seed."""

import json

import pytest

from rasen_lint import Severity, check_notebook
from rasen_lint.context import Context, Role
from rasen_lint.finding import Finding
from rasen_lint.rules import RULES

IMPORTS = """import random
import random as stdlib_random
import numpy as np
import pandas as pd
import scipy.stats as stats
import sklearn
import tensorflow as tf
import torch
from sklearn.cluster import KMeans
from sklearn.ensemble import AdaBoostClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold, ShuffleSplit, train_test_split
from sklearn.neighbors import KernelDensity
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier
"""


def check(*cells: str, parameters: str = "", context: Context | None = None) -> tuple[Finding, ...]:
    sources = [(parameters, ["parameters"]), (IMPORTS, []), *((cell, []) for cell in cells)]
    content = [
        {"cell_type": "code", "metadata": {"tags": tags}, "source": source, "outputs": []}
        for source, tags in sources
    ]
    data = json.dumps({"metadata": {}, "nbformat": 4, "nbformat_minor": 5, "cells": content}).encode()
    checked = check_notebook(data, name="n.ipynb", rules=[RULES["NB209"]], context=context or Context())
    assert checked.faults == ()
    return checked.findings


@pytest.mark.parametrize(
    "cell",
    [
        "np.random.rand(3)",
        "random.choice([1])",
        "stdlib_random.shuffle([1])",
        "torch.randn(3)",
        "tf.random.normal([3])",
        "np.random.default_rng()",
        "np.random.default_rng(None)",
        "np.random.RandomState(seed=None)",
        "random.Random()",
        "train_test_split(X, y)",
        "sklearn.model_selection.train_test_split(X, random_state=None)",
        "KFold(5, shuffle=True)",
        "ShuffleSplit()",
        "RandomForestClassifier()",
        "KMeans(3)",
        "LogisticRegression(solver='saga')",
        "SGDClassifier()",
        "AdaBoostClassifier(DecisionTreeClassifier())",
        "stats.norm.rvs(size=3)",
        "df.sample(frac=0.1)",
        "df.sample(100)",
        "df[df.x > 1].sample(n=3, random_state=None)",
        "pd.concat([a]).sample(frac=1)",
        "np.random.seed()\nnp.random.rand(3)",
        "torch.manual_seed(0)\nnp.random.rand(3)",
        "def f():\n    return np.random.rand(3)",
    ],
)
def test_what_draws_without_a_seed_is_found_once(cell: str) -> None:
    assert [(finding.code, finding.severity) for finding in check(cell)] == [("NB209", Severity.WARNING)]


@pytest.mark.parametrize(
    "cell",
    [
        "np.random.seed(0)\nnp.random.rand(3), RandomForestClassifier(), df.sample(3), stats.norm.rvs()",
        "random.seed(seed)\nrandom.random()",
        "torch.manual_seed(0)\ntorch.randn(3)",
        "tf.random.set_seed(1)\ntf.random.normal([1])",
        "rng = np.random.default_rng(seed)\nrng.normal()",
        "random.Random(3).random()",
        "train_test_split(X, y, random_state=0)",
        "train_test_split(X, shuffle=False)",
        "train_test_split(X, **options)",
        "KFold(5)",
        "KFold(5, shuffle=False)",
        "LogisticRegression()",
        "SGDClassifier(shuffle=False)",
        "HistGradientBoostingRegressor()",
        "XGBClassifier()",
        "AdaBoostClassifier(DecisionTreeClassifier(), random_state=0)",
        "model = KMeans()\nmodel.set_params(random_state=1)",
        "df.sample(3, random_state=rng)",
        "random.sample([1, 2], k=1)\nrandom.seed(1)",
        "gmm = GaussianMixture(random_state=0).fit(X)\ngmm.sample(100)",
        "kde = KernelDensity()\nkde.sample(3)",
        "normal.sample()",
        "normal.sample((3,))",
        "polars_frame.sample(n=3, seed=1)",
        "torch.randn(3, generator=g)",
        "def rand(): return 1\nrand()",
        "np.random.default_rng(*seeds)",
    ],
)
def test_what_is_seeded_or_draws_nothing_is_left_alone(cell: str) -> None:
    assert check(cell) == ()


def test_it_is_an_error_where_a_model_is_trained() -> None:
    for context, severity in (
        (Context(role=Role.STEP, only_step=True), Severity.ERROR),
        (Context(role=Role.STEP), Severity.WARNING),
        (Context(role=Role.GATE), Severity.WARNING),
    ):
        (finding,) = check("KMeans()", context=context)
        assert finding.severity is severity
    (finding,) = check("KMeans()", "import rasen\nrasen.publish(1)", context=Context(role=Role.STEP))
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("KMeans()", "KMeans(random_state=0)"),
        ("KMeans(3)", "KMeans(3, random_state=0)"),
        ("KMeans(\n    3,  # clusters\n)", "KMeans(\n    3, random_state=0,  # clusters\n)"),
        ("KMeans( )", "KMeans( random_state=0)"),
        ("x = [KMeans(n_clusters=f(3))]", "x = [KMeans(n_clusters=f(3), random_state=0)]"),
        ("np.random.default_rng()", "np.random.default_rng(0)"),
        ("é = KMeans(3); é", "é = KMeans(3, random_state=0); é"),
        ("df[df['é'] > 1].sample(3)", "df[df['é'] > 1].sample(3, random_state=0)"),
        ("%matplotlib inline\nKMeans(3)", "%matplotlib inline\nKMeans(3, random_state=0)"),
    ],
)
def test_the_fix_writes_the_seed_and_nothing_else(before: str, after: str) -> None:
    (finding,) = check(before)
    assert finding.fix is not None
    assert finding.fix.sources == {2: after}
    assert check(after) == ()


def test_the_fix_writes_the_parameter_that_is_a_seed() -> None:
    (finding,) = check("KMeans(3)", parameters="seed: int = 7")
    assert finding.fix is not None
    assert finding.fix.title == "Add `random_state=seed`"
    assert finding.fix.sources[2] == "KMeans(3, random_state=seed)"


@pytest.mark.parametrize(
    "cell",
    [
        "train_test_split((X))",
        "train_test_split(x for x in y)",
        "train_test_split(X, random_state=None)",
        "np.random.rand(3)",
        "    KMeans(3)",
        "(KMeans)(3)",
    ],
)
def test_where_the_text_is_not_certain_there_is_no_fix(cell: str) -> None:
    (finding,) = check(cell)
    assert finding.fix is None
