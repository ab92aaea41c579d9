"""A home in which models of the benchmark are behind an endpoint; who publishes them is a process of its own.

`python -m bench.serving_home NAME ENGINES VERSIONS`, with the home of the environment, makes an API key and publishes
so many versions, then deploys one for each line that it reads and answers with the revision's number. ENGINES is
`native`, the unmodified model; `chosen`, whatever the qualification finds equal, which is what every published model
gets; or the name of one engine. A process of its own, for the same reason as `serving_models.py`, and because
publishing must not take time from the process that measures.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bench.peer_environments import Unavailable
from rasen.settings import load_settings, platform_environment
from rasen.settings_model import Settings

if TYPE_CHECKING:
    import pandas as pd

NATIVE, CHOSEN = "native", "chosen"
_DIFFERENT = 4
"""So many different models take turns; more would only make the start longer."""


@dataclass(frozen=True, kw_only=True)
class Deployer:
    """Deploys one published version after another.

    Args:
        engines: What the first version may be executed by, besides the model itself.
        headers: With these a caller is let in.
    """

    process: subprocess.Popen[str]
    engines: list[str]
    headers: Mapping[str, str]

    def deploy(self) -> int:
        """Make the next version the champion; return the revision's number."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("next\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextmanager
def deployer(settings: Settings, name: str, *, engines: str, versions: int = 1) -> Iterator[Deployer]:
    """Publish so many versions of a model, and give what deploys them.

    Raises:
        Unavailable: They cannot be published so.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.serving_home", name, engines, str(versions)],
        env=platform_environment(settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise Unavailable(f"{name} could not be published with the engines {engines!r}; see above")
        yield Deployer(process=process, **json.loads(line))
    finally:
        process.communicate(timeout=30)  # it ends when it is told nothing more


def deploy_model(settings: Settings, name: str, *, engines: str) -> Deployer:
    """Publish and deploy a model of the benchmark in a home; return with whose headers it is asked."""
    with deployer(settings, name, engines=engines) as ready:
        ready.deploy()
        return ready


def qualify(model: Any, frame: pd.DataFrame, *, wanted: str) -> dict[str, Any]:  # Any: of a library; options
    """Return the engines that answer as the model does, as the step `_qualify` finds them, or the one that is wanted.

    Raises:
        ValueError: The wanted one does not.
    """
    if wanted == NATIVE:
        return {"engines": []}
    from bench.serving_models import schema_of
    from rasen.model.engine_checks import compare_engine
    from rasen.model.engines import make_engines
    from rasen.model.frames import to_values
    from rasen.model.onnx_conversion import convert_to_onnx

    schema = schema_of(model, frame)
    graph = convert_to_onnx(model, schema)
    rows = to_values(schema, frame)
    equal = [
        engine.name
        for engine in make_engines(model, schema, onnx=graph)
        if compare_engine(engine, model, schema, rows)[0] is None
    ]
    if wanted != CHOSEN:
        if wanted not in equal:
            raise ValueError(f"no engine {wanted!r} answers as the model does; these do: {equal}")
        equal = [wanted]
    elif "folded" in equal:  # no graph is quicker than one product with a vector
        equal = [name for name in equal if name != "onnx"]
    return {"engines": equal, "onnx": graph if "onnx" in equal else None}


def main() -> None:
    """Publish and deploy in this process."""
    from bench.serving_models import make_model
    from rasen.store import open_store
    from rasen.tracking.access_keys import create_key
    from rasen.tracking.signature import Role, open_signer
    from stand.versions import deploy_version, publish_version

    name, engines, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    settings = load_settings()
    store = open_store(settings)
    _, key = create_key(
        store,
        open_signer(settings, Role.CONTROL),
        name="bench",
        environment=settings.environment,
        by="bench",
        now=datetime.now(tz=UTC),
        endpoints=[name],
    )
    made = [make_model(name, seed=seed) for seed in range(min(count, _DIFFERENT))]
    options = [qualify(model, frame, wanted=engines) for model, frame in made]
    versions = [
        publish_version(
            store,
            settings,
            number=number + 1,
            pipeline=name,
            model=made[number % len(made)][0],
            example=made[number % len(made)][1].head(3),
            **options[number % len(made)],
        )
        for number in range(count)
    ]
    said = {"engines": options[0]["engines"], "headers": {"Authorization": f"Bearer {key}"}}
    print(json.dumps(said), flush=True)
    for _, version in zip(sys.stdin, versions, strict=False):
        print(deploy_version(store, settings, version), flush=True)


if __name__ == "__main__":
    main()
