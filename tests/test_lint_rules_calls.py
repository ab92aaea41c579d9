"""Rules that ask by name: shells, changed state, questions to a person, the present time."""

import pytest

from stand.notebooks_to_lint import findings


def lines(code: str, *sources: str) -> list[tuple[int | None, int | None]]:
    return [(found.cell, found.line) for found in findings(code, *sources)]


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("NB203", "!ls"),
        ("NB203", "x = !ls"),
        ("NB203", "!!ls"),
        ("NB203", "if x:\n    !ls {x}"),
        ("NB203", "%sx ls"),
        ("NB203", "%%bash\nls\nls"),
        ("NB203", "%%script bash\nls"),
        ("NB203", "%%time\n!ls"),
        ("NB203", "from os import system as run\nrun('ls')"),
        ("NB203", "import subprocess as s\ns.check_output('ls | wc', shell=True)"),
        ("NB203", "!pip list"),
        ("NB204", "%cd data"),
        ("NB204", "%cd"),
        ("NB204", "%pushd data"),
        ("NB204", "%env A=1"),
        ("NB204", "%env A 1"),
        ("NB204", "%set_env A=1"),
        ("NB204", "%reset -f"),
        ("NB204", "%load_ext autoreload\n%autoreload 2"),
        ("NB204", "%store x"),
        ("NB204", "import os\nos.chdir('x')"),
        ("NB204", "from os import *\nchdir('x')"),
        ("NB211", "from datetime import *\ndatetime.now()"),
        ("NB204", "import os\ndef f():\n    os.chdir('x')\n"),
        ("NB204", "get_ipython().run_line_magic('cd', 'x')"),
        ("NB204", "get_ipython().magic('%env A=1')"),
        ("NB210", "input()"),
        ("NB210", "x = int(input('?'))"),
        ("NB210", "breakpoint()"),
        ("NB210", "import pdb; pdb.set_trace()"),
        ("NB210", "import ipdb as debugger\ndebugger.set_trace()"),
        ("NB210", "from IPython.core.debugger import set_trace\nset_trace()"),
        ("NB210", "from getpass import getpass\nkey = getpass('?')"),
        ("NB210", "import getpass as g\ng.getpass()"),
        ("NB210", "%debug"),
        ("NB210", "%pdb on"),
        ("NB210", "%%debug\nx = 1"),
        ("NB211", "import datetime\ndatetime.datetime.now()"),
        ("NB211", "from datetime import date as d\nd.today()"),
        ("NB211", "from datetime import date\ndate = date.today()"),
        ("NB211", "from datetime import datetime\nnow = datetime.now(tz=None)"),
        ("NB211", "import pandas as pd\npd.Timestamp.now()"),
        ("NB211", "import pandas as pd\npd.to_datetime('today')"),
        ("NB211", "import pandas as pd\npd.Timestamp('now', tz='UTC')"),
        ("NB211", "import numpy as np\nnp.datetime64('now')"),
        ("NB211", "import time\ntime.strftime('%Y')"),
        ("NB211", "import time\ntime.localtime()"),
        ("NB211", "import time\ntime.localtime(time.time())"),
        ("NB211", "import time\nfrom datetime import date\ndate.fromtimestamp(time.time())"),
    ],
)
def test_what_the_rule_is_about_is_found_once(code: str, source: str) -> None:
    assert len(lines(code, source)) == 1


@pytest.mark.parametrize(
    ("code", "source"),
    [
        ("NB203", "!pip install lightgbm"),
        ("NB203", "%%bash\nls\npip install lightgbm"),
        ("NB203", "import os\nos.system('pip install lightgbm')"),
        ("NB203", "import subprocess\nsubprocess.run(['ls'], check=True)\nsubprocess.run('ls', shell=False)"),
        ("NB203", "x != y\n'!ls'\n# !ls"),
        ("NB203", "%%html\n!ls"),
        ("NB203", "%%writefile x.sh\n!ls"),
        ("NB203", "def system(x): pass\nsystem('ls')"),
        ("NB204", "%env A"),
        ("NB204", "%env"),
        ("NB204", "%matplotlib inline\n%load_ext autoreload\n%config A.b = 1\n%time x\n%who\n%pwd"),
        ("NB204", "%%html\n%cd x"),
        ("NB204", "chdir = print\nchdir('x')"),
        ("NB204", "import contextlib\nwith contextlib.chdir('x'): pass"),
        (
            "NB204",
            "get_ipython().run_line_magic('matplotlib', 'inline')\nget_ipython().run_line_magic('env', 'A')",
        ),
        ("NB204", "frame.reset()\nframe.magic('x')\nstore('x')"),
        ("NB210", "def input(text): return 1\ninput('?')"),
        ("NB210", "form.input()\nmodel.breakpoint()\nst.text_input('?')"),
        ("NB210", "inputs = model.input\nx = 'input()'"),
        ("NB210", "from keras import Input as input\ninput(3)"),
        ("NB210", "import pdb\n%pdb off"),
        ("NB210", "import fileinput\nfileinput.input()"),
        ("NB210", "import getpass\ngetpass.getuser()"),
        (
            "NB211",
            "import time\nstarted = time.time()\ntime.time() - started\ntime.perf_counter()\ntime.monotonic()",
        ),
        ("NB211", "import time\ntime.strftime('%Y', x)\ntime.localtime(x)\ntime.sleep(1)"),
        (
            "NB211",
            "from datetime import date, datetime\ndate(2013, 1, 1)\ndatetime.fromisoformat('2013-01-01')",
        ),
        ("NB211", "import pandas as pd\npd.Timestamp('2013-01-01')\npd.to_datetime(x)"),
        ("NB211", "clock.now()\nday.today()"),
        ("NB211", "'datetime.now()'  # datetime.now()"),
    ],
)
def test_what_only_looks_like_it_is_left_alone(code: str, source: str) -> None:
    assert lines(code, source) == []


def test_an_import_in_another_cell_names_what_is_called() -> None:
    assert lines("NB204", "import os as system", "x = 1", "system.chdir('x')") == [(2, 1)]


def test_prints_are_counted_over_cells_and_pointed_at_where_they_are_too_many() -> None:
    assert lines("NB107", "print(1)\n" * 20) == []
    assert lines("NB107", "print(1)\n" * 15, "x.print(1)\n" * 30, "print(1)\n" * 15) == [(2, 6)]
    assert lines("NB107", "def print(x): pass", "print(1)\n" * 30) == []
