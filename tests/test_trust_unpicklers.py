"""The static search for what unpickles finds it, also under another name, and leaves the rest alone."""

from __future__ import annotations

import pytest

from stand.unpicklers import find_unpicklers


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.loads(b'')",
        "import pickle as p\np.load(file)",
        "import pickle\nreader = pickle.Unpickler(file)",
        "def f():\n    import pickle\n    return pickle.loads",
        "from pickle import loads",
        "from pickle import loads as harmless",
        "from cloudpickle import cloudpickle",
        "import cloudpickle.cloudpickle as target\ntarget.loads(b'')",
        "import pickle\ngetattr(pickle, 'lo' + 'ads')(b'')",
        "import pickle\nmodule = pickle\nmodule.loads(b'')",
        "import pickle\nlist(map(vars, [pickle]))",
        "import importlib\nimportlib.import_module('pickle').loads(b'')",
        "__import__('marshal').loads(b'')",
        "import sys\nsys.modules['pickle'].loads(b'')",
        "import dill\ndill.load_session('file')",
        "import joblib\njoblib.load('file')",
        "import shelve\nshelve.open('file')",
        "import marshal\nmarshal.loads(b'')",
        "import torch\ntorch.load('file')",
        "import torch\ntorch.jit.load('file')",
        "import numpy as np\nnp.load('file', allow_pickle=True)",
        "import numpy as np\nnp.load('file', allow_pickle=allowed)",
        "import pandas as pd\npd.read_pickle('file')",
        "from pandas import read_pickle",
        "import yaml\nyaml.load(text, Loader=yaml.Loader)",
        "import yaml\nyaml.load(text, yaml.FullLoader)",
        "import yaml\nyaml.unsafe_load(text)",
        "from yaml import unsafe_load",
        "import multiprocessing",
        "from multiprocessing.connection import Client",
        "from concurrent.futures import ProcessPoolExecutor",
        "import concurrent.futures\nconcurrent.futures.ProcessPoolExecutor()",
    ],
)
def test_what_unpickles_is_found(source: str) -> None:
    assert find_unpicklers(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\ndata = pickle.dumps(model, protocol=pickle.HIGHEST_PROTOCOL)",
        "import cloudpickle\ncloudpickle.register_pickle_by_value(module)",
        "import cloudpickle.cloudpickle as target\ntarget.dumps(model)",
        "import json\njson.loads(b'')",
        "import numpy as np\nnp.load('file')",
        "import yaml\nyaml.load(text, Loader=NoDatesSafeLoader)",
        "import yaml\nyaml.safe_load(text)",
        "from concurrent.futures import ThreadPoolExecutor",
        "import pickletools\nlist(pickletools.genops(b''))",
        "import importlib\nimportlib.import_module('json')",
        "class Store:\n    def load(self): ...\nStore().load()",
    ],
)
def test_what_does_not_unpickle_is_left_alone(source: str) -> None:
    assert find_unpicklers(source) == []
