"""What draws at random, and what makes it draw the same again: one table for the libraries of analysts.

Left out is what gives the same without a seed: XGBoost, LightGBM and CatBoost, whose default is a fixed one, and
estimators of scikit-learn that only draw with certain options.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

Options = Mapping[str, ast.expr]

# A call with a number seeds all that draws from the same place.
SEEDS: dict[str, frozenset[str]] = {
    "numpy.random.seed": frozenset({"numpy"}),
    "numpy.random.set_state": frozenset({"numpy"}),
    "random.seed": frozenset({"random"}),
    "random.setstate": frozenset({"random"}),
    "torch.manual_seed": frozenset({"torch"}),
    "torch.random.manual_seed": frozenset({"torch"}),
    "tensorflow.random.set_seed": frozenset({"tensorflow"}),
    "tensorflow.keras.utils.set_random_seed": frozenset({"numpy", "random", "tensorflow"}),
    "keras.utils.set_random_seed": frozenset({"numpy", "random", "tensorflow", "torch"}),
    "lightning.seed_everything": frozenset({"numpy", "random", "torch"}),
    "lightning.pytorch.seed_everything": frozenset({"numpy", "random", "torch"}),
    "pytorch_lightning.seed_everything": frozenset({"numpy", "random", "torch"}),
    "transformers.set_seed": frozenset({"numpy", "random", "tensorflow", "torch"}),
    "fastai.torch_core.set_seed": frozenset({"numpy", "random", "torch"}),
}

_NUMPY = (
    "beta binomial bytes chisquare choice dirichlet exponential f gamma geometric gumbel hypergeometric laplace "
    "logistic lognormal logseries multinomial multivariate_normal negative_binomial noncentral_chisquare normal pareto "
    "permutation poisson power rand randint randn random random_integers random_sample ranf rayleigh sample shuffle "
    "standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular uniform vonmises wald "
    "weibull zipf"
)
_PYTHON = (
    "betavariate choice choices expovariate gammavariate gauss getrandbits lognormvariate normalvariate paretovariate "
    "randbytes randint random randrange sample shuffle triangular uniform vonmisesvariate weibullvariate"
)
_TORCH = "bernoulli multinomial normal poisson rand rand_like randint randint_like randn randn_like randperm"
_TENSORFLOW = "categorical gamma normal poisson shuffle truncated_normal uniform"

GLOBAL: dict[str, str] = {
    **{f"numpy.random.{name}": "numpy" for name in _NUMPY.split()},
    **{f"random.{name}": "random" for name in _PYTHON.split()},
    **{f"torch.{name}": "torch" for name in _TORCH.split()},
    **{f"tensorflow.random.{name}": "tensorflow" for name in _TENSORFLOW.split()},
}
"""Functions that draw from a generator that all share, by its library."""

GENERATORS = frozenset(
    {
        *{"numpy.random.MT19937", "numpy.random.PCG64", "numpy.random.PCG64DXSM"},
        *{
            "numpy.random.Philox",
            "numpy.random.RandomState",
            "numpy.random.SFC64",
            "numpy.random.default_rng",
        },
        "random.Random",
    }
)
"""Generators that are seeded by their first argument or `seed=`."""


def _always(_: Options) -> bool:
    return True


def _if_true(name: str) -> Callable[[Options], bool]:
    """Return whether an option is given that is not false."""
    return lambda options: name in options and _constant(options[name], default=True) not in {False, None}


def _unless_false(name: str) -> Callable[[Options], bool]:
    return lambda options: name not in options or _constant(options[name], default=True) is not False


def _if_one_of(name: str, *values: object) -> Callable[[Options], bool]:
    return lambda options: name in options and _constant(options[name], default=None) in values


def _constant(node: ast.expr, *, default: object) -> object:
    """Return a value that is written out and can be compared, else the default."""
    return node.value if isinstance(node, ast.Constant) else default


_ALWAYS = {
    "cluster": "AffinityPropagation BisectingKMeans KMeans MiniBatchKMeans SpectralBiclustering SpectralClustering "
    "SpectralCoclustering k_means",
    "covariance": "EllipticEnvelope MinCovDet",
    "decomposition": "DictionaryLearning FastICA LatentDirichletAllocation MiniBatchDictionaryLearning MiniBatchNMF "
    "MiniBatchSparsePCA SparsePCA TruncatedSVD",
    "ensemble": "AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor ExtraTreesClassifier "
    "ExtraTreesRegressor GradientBoostingClassifier GradientBoostingRegressor IsolationForest RandomForestClassifier "
    "RandomForestRegressor RandomTreesEmbedding",
    "inspection": "permutation_importance",
    "kernel_approximation": "Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler",
    "linear_model": "PassiveAggressiveClassifier PassiveAggressiveRegressor RANSACRegressor TheilSenRegressor",
    "manifold": "MDS TSNE",
    "mixture": "BayesianGaussianMixture GaussianMixture",
    "model_selection": "GroupShuffleSplit HalvingGridSearchCV HalvingRandomSearchCV ParameterSampler "
    "RandomizedSearchCV RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedShuffleSplit",
    "neural_network": "BernoulliRBM MLPClassifier MLPRegressor",
    "random_projection": "GaussianRandomProjection SparseRandomProjection",
    "tree": "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor",
    "utils": "resample shuffle",
    "datasets": "make_biclusters make_blobs make_checkerboard make_classification make_friedman1 make_friedman2 "
    "make_friedman3 make_gaussian_quantiles make_hastie_10_2 make_low_rank_matrix make_multilabel_classification "
    "make_regression make_s_curve make_sparse_coded_signal make_sparse_spd_matrix make_sparse_uncorrelated "
    "make_spd_matrix make_swiss_roll",
}
_SOMETIMES: dict[str, Callable[[Options], bool]] = {
    "datasets.make_circles": _always,
    "datasets.make_moons": _always,
    "decomposition.KernelPCA": _if_one_of("eigen_solver", "randomized"),
    "decomposition.NMF": _if_one_of("init", "random", "nndsvdar"),
    "decomposition.PCA": _if_one_of("svd_solver", "randomized"),
    "dummy.DummyClassifier": _if_one_of("strategy", "stratified", "uniform"),
    "ensemble.HistGradientBoostingClassifier": _if_true("early_stopping"),
    "ensemble.HistGradientBoostingRegressor": _if_true("early_stopping"),
    "feature_selection.mutual_info_classif": _always,
    "feature_selection.mutual_info_regression": _always,
    "linear_model.ElasticNet": _if_one_of("selection", "random"),
    "linear_model.Lasso": _if_one_of("selection", "random"),
    "linear_model.LogisticRegression": _if_one_of("solver", "liblinear", "sag", "saga"),
    "linear_model.Perceptron": _unless_false("shuffle"),
    "linear_model.Ridge": _if_one_of("solver", "sag", "saga"),
    "linear_model.RidgeClassifier": _if_one_of("solver", "sag", "saga"),
    "linear_model.SGDClassifier": _unless_false("shuffle"),
    "linear_model.SGDOneClassSVM": _unless_false("shuffle"),
    "linear_model.SGDRegressor": _unless_false("shuffle"),
    "model_selection.KFold": _if_true("shuffle"),
    "model_selection.StratifiedGroupKFold": _if_true("shuffle"),
    "model_selection.StratifiedKFold": _if_true("shuffle"),
    "model_selection.train_test_split": _unless_false("shuffle"),
    "svm.LinearSVC": _if_true("dual"),
    "svm.NuSVC": _if_true("probability"),
    "svm.SVC": _if_true("probability"),
}
RANDOM_STATE: dict[str, Callable[[Options], bool]] = {
    **{f"sklearn.{module}.{name}": _always for module, names in _ALWAYS.items() for name in names.split()},
    **{f"sklearn.{name}": draws for name, draws in _SOMETIMES.items()},
}
"""What takes `random_state` and else draws from NumPy's shared generator, with the options that make it draw."""

_ENSEMBLES = "AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor"
SEEDS_ITS_PARTS = frozenset(
    {*(f"sklearn.ensemble.{name}" for name in _ENSEMBLES.split()), "sklearn.linear_model.RANSACRegressor"}
)
"""Estimators that give the one within them a random state of their own."""

# Options whose value is fixed by a random state although it has another name.
SEED_OPTIONS = frozenset({"generator", "random_seed", "random_state", "rng", "seed"})
