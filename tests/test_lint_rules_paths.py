"""NB206: paths of one machine, and the many texts that only look like paths."""

import pytest

from stand.notebooks_to_lint import code_cell, findings, markdown_cell

HOME = "/" + "home"  # put together: no such path may stand in this repository
IMPORTS = """
import os, re, shutil, glob, joblib, httpx
import numpy as np
import pandas as pd
import rasen
from pathlib import Path
from urllib.parse import urljoin
"""


def paths(source: str) -> list[int | None]:
    """Return the lines at which a cell names a path of one machine."""
    return [finding.line for finding in findings("NB206", IMPORTS, source.replace("HOME", HOME))]


@pytest.mark.parametrize(
    "source",
    [
        'pd.read_csv("HOME/hanako/flights.csv")',
        'pd.read_csv(r"C:\\Users\\hanako\\flights.csv")',
        'pd.read_csv("C:/data/flights.csv")',
        'pd.read_csv("D:\\\\flights.csv")',
        'open("/Users/hanako/My Documents/flights.csv")',
        'open(file="/srv/flights.csv")',
        'folder = "~/flights"',
        'folder = "~hanako/flights"',
        'FOLDER = Path("/data")',
        'path = f"HOME/hanako/{user}.csv"',
        'path = f"HOME/{user}/flights.csv"',
        'path = "~/" + name',
        'path = "HOME/hanako/" + name',
        'path = "HOME/hanako/%s.csv" % name',
        'paths = {"flights": "/mnt/share/flights.csv"}',
        'load(path="/Volumes/disk/flights.csv")',
        'os.path.expanduser("~")',
        'os.path.expanduser("~/flights")',
        "Path.home() / 'flights'",
        'os.path.join("/data", name)',
        'frame.to_parquet("/data/flights.parquet")',
        'plt.savefig("/data/figure.png")',
        'np.load("/data/flights.npy")',
        'DATA = "/data/flights.csv"',
        'DATA = "HOME/hanako"',
        'DATA = "/Users/hanako/My Documents/flights of 2013.csv"',
        'DATA = "D:\\\\flights.csv"',
        'Path("C:\\\\data")',
        'files = {"flights": "/srv/2013/daily flights.parquet"}',
        'load("/models/demand.pkl")',
        'np.genfromtxt("/data/flights.txt")',
        'joblib.dump(model, "/models/model.joblib")',
        'shutil.copy("flights.csv", "/data/flights.csv")',
        'glob.glob("/data/*.csv")',
        'rasen.read_file("/data/flights.csv")',
        'pd.read_csv("/tmp/flights.csv")',
        'with open("/tmp/flights.csv") as file: pass',
        r'pd.read_csv("\\\\server\\share\\flights.csv")',
        'from google.colab import drive\ndrive.mount("/content/drive")\npd.read_csv("/content/drive/MyDrive/x.csv")',
        'pd.read_csv(\n    "HOME/hanako/flights.csv",\n    sep=";",\n)',
    ],
)
def test_path_of_one_machine_is_found_once(source: str) -> None:
    assert len(paths(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        'pd.read_csv("flights.csv")',
        'pd.read_csv("data/flights.csv")',
        'pd.read_csv("../flights.csv")',
        'pd.read_csv("./flights.csv")',
        'pd.read_csv("https://example.com/HOME/flights.csv")',
        'pd.read_csv("gs://flights/2013.csv")',
        'pd.read_csv("file.csv", sep="/")',
        'pd.read_hdf("flights.h5", "/flights/daily")',
        '"HOME/hanako is a folder"',
        '"""HOME/hanako/x"""\nx = 1',
        'text.split("/")',
        'text.startswith("HOME/hanako")',
        'text.replace("HOME/hanako/", "")',
        'if path == "HOME/hanako/x": pass',
        'if "HOME/hanako" in path: pass',
        'app = Flask()\n@app.get("HOME/users")\ndef f(): pass',
        'app = Flask()\n@app.route("HOME/users", methods=["GET"])\ndef f(): pass',
        'client = httpx.Client()\nclient.post("HOME/users")',
        'urljoin(base, "HOME/users")',
        'url = f"{base}HOME/users"',
        'url = f"{base}HOME/{user}"',
        'print("HOME/", "~/")',
        'url = base + "HOME/users"',
        'url = "%s/users" % base',
        'routes = ["/", "/predict", "/v1/users/{id}", "/data/items", "/health"]',
        'image = "gcr.io/flights/train:1.2"',
        'image = "C:1"',
        'ratio = "a:b/c"',
        're.match(r"C:\\d+", text)',
        'pattern = r"T:\\d{2}"',
        'pattern = r"d:\\w+\\s"',
        're.sub("HOME/[a-z]+/", "", text)',
        'pattern = "/Users/[^/]+"',
        'form = "%H:%M"',
        'when = "2013/01/02"',
        'label = "~1 h"',
        'formula = "~ x + y"',
        'formula = "y ~ x"',
        'smf.ols("y ~ x / z", data=frame)',
        'units = "km/h"',
        'latex = r"\\\\alpha\\beta"',
        'latex = r"\\\\hline \\\\ \\hline"',
        'print("/home", "/Users", "/root")',
        "os.path.expanduser(path)",
        'open("/dev/null", "w")',
        'open("/proc/meminfo")',
        'Path("/")',
        'frame.to_csv("/tmp/flights.csv")',
        'with open("/tmp/flights.csv", "w") as file: pass',
        'frame.to_csv("/tmp/flights.csv")\npd.read_csv("/tmp/flights.csv")',
        'tempfile.mkdtemp(dir="/tmp")',
        'html = "<a href=/home>"',
        'xml.find("/html/body/div")',
        'fs = gcsfs.GCSFileSystem()\nfs.open("/bucket/flights.csv")',
        'assets = ["/static/app.js", "/openapi.json", "/data/flights", "/flights.csv"]',
        'when = "/tmp/flights.csv"',
        'x = {"/mnt": 1}',
        "json.load(file)",
        'query = "SELECT 1 -- /Users/hanako/x"',
        'def f(open): open("/data/x")',
        'requests.get("//example.com/x.js")',
        "b = b'/Users/hanako'",
        'mlflow.set_experiment("/Users/hanako@example.com/demand")',
        'print("~/.rasen holds the runs")',
        'help_text = "HOME/page explains it"',
        'plt.plot(x, label="HOME/x")',
        'plt.title("HOME/x")',
        'store["/data/daily/x.h5"] = frame',
        'routes = {"HOME/index": index}',
        'ratio = "C:/N ratio"',
        r'label = r"T:\theta"',
        r'label = r"x:\alpha\beta"',
        r'label = "Q:\tname"',
        "",
    ],
)
def test_other_text_is_no_path(source: str) -> None:
    assert paths(source) == []


def test_prose_and_parameters_that_nb112_refuses_are_left_alone() -> None:
    refused = code_cell(f"path: str = str('{HOME}/hanako')", parameters=True)
    assert findings("NB206", refused, markdown_cell(f"`{HOME}/hanako/x`")) == ()
    (found,) = findings("NB206", code_cell(f"path: str = '{HOME}/hanako'", parameters=True))
    assert (found.line, found.column, found.end_column) == (1, 13, 13 + len(f"'{HOME}/hanako'"))


def test_a_path_is_pointed_at_behind_wide_characters() -> None:
    (found,) = findings("NB206", 'größe, パス = 1, "~/flights"')
    assert (found.column, found.end_column) == (16, 27)
