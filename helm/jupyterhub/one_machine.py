"""A real JupyterHub on one machine, with the platform beside it: `make hub`.

People share the account that starts it, so this is for one person, or for trying things out; a cluster's Hub is another
spawner and another authenticator with the same single-user configuration (`singleuser/`). Only what JupyterHub 5 and 6
both know is used.
"""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
HOME = Path(os.environ.get("RASEN_HOME") or REPOSITORY / ".rasen").resolve()
HUB = HOME / "hub"
PORT = int(os.environ.get("RASEN_HUB_PORT", "8000"))
API_PORT = int(os.environ.get("RASEN_API_PORT", "8083"))
API = f"http://127.0.0.1:{API_PORT}"
SERVICE = "rasen"

HUB.mkdir(mode=0o700, parents=True, exist_ok=True)


def read_password() -> str:
    """Return the password of this machine's Hub; made once, readable by its owner only."""
    file = HUB / "password"
    if not file.exists():
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(12) + "\n")
    return file.read_text().strip()


def prepare_home(spawner) -> None:
    """Give a person a home of their own, with a clone of this repository to work in."""
    home = HUB / "users" / spawner.user.name
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    clone = home / "work"
    if not clone.exists() and (REPOSITORY / ".git").exists() and shutil.which("git"):
        part = home / f".work-{secrets.token_hex(4)}"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(part)], check=True)
        part.rename(clone)  # a clone that was interrupted is not taken for one


c = get_config()  # noqa: F821  # traitlets gives it to configuration files

c.JupyterHub.bind_url = f"http://127.0.0.1:{PORT}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{PORT + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{PORT + 2}"
c.ConfigurableHTTPProxy.pid_file = str(HUB / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{HUB / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(HUB / "cookie_secret")
c.JupyterHub.cleanup_servers = True

c.JupyterHub.authenticator_class = "shared-password"
c.SharedPasswordAuthenticator.user_password = read_password()
c.Authenticator.allow_all = True  # whoever knows the password
c.Authenticator.username_pattern = r"[a-z][a-z0-9_\-]{0,39}"  # a name becomes a folder

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(HUB / "users" / "{username}")
c.Spawner.cmd = [str(Path(sys.executable).with_name("jupyterhub-singleuser"))]
if os.getuid() == 0:  # as in many a container and CI; Jupyter wants to be told that it is meant
    c.Spawner.args = ["--allow-root"]
c.Spawner.notebook_dir = "~/work" if (REPOSITORY / ".git").exists() else "~"
c.Spawner.default_url = "/lab"
c.Spawner.pre_spawn_hook = prepare_home
c.Spawner.start_timeout = 120
c.Spawner.environment = {
    # The very files that the image brings along.
    "JUPYTER_CONFIG_PATH": str(HERE / "singleuser"),
    "RASEN_HOME": str(HOME),
    "RASEN_SERVER": API,
    # The Hub's own token of this person's server: with it the extension asks the platform.
    "RASEN_TOKEN": lambda spawner: spawner.api_token,
}

# The platform is a service of the Hub: started and ended with it, and its control API knows people by the Hub's tokens.
c.JupyterHub.services = [
    {
        "name": SERVICE,
        "url": API,
        "command": [str(Path(sys.executable).with_name("rasen")), "up"],
        "environment": {
            **{name: value for name, value in os.environ.items() if name.startswith("RASEN_")},
            "RASEN_HOME": str(HOME),
            "RASEN_API_ACCESS": "hub",
            "PATH": os.environ.get("PATH", ""),
        },
    }
]
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", f"access:services!service={SERVICE}"]},
    # What a person's own server may do on their behalf: ask the platform.
    {
        "name": "server",
        "scopes": ["users:activity!user", "access:servers!server", f"access:services!service={SERVICE}"],
    },
]

print(f"JupyterHub: http://127.0.0.1:{PORT}  any name, password {read_password()}", flush=True)  # noqa: T201  # a person reads it
