"""Runs: what this notebook is in the platform, a run of it there, its output notebooks, and what is deployed.

The browser never talks to the platform itself: the token stays in this process. What was run goes on without it.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from rasen.errors import InvalidInput, NotFound
from rasen_labextension.handler import RasenHandler
from rasen_labextension.interface_tests import InterfaceTests
from rasen_labextension.notebook_about import About, describe_notebook, pipeline_folder
from rasen_labextension.platform_view import Platform, connect

_SHOWN_RUNS = 15
_OUTPUTS = "rasen-outputs"


class _NotebookHandler(RasenHandler):
    """A route whose body is a notebook: `{"path", "content"}`."""

    def notebook(self, body: dict[str, Any]) -> tuple[Path, bytes]:  # Any: JSON
        """Return the file and the content that the browser means."""
        content = body.get("content")
        if not isinstance(content, str):
            raise InvalidInput(f"content must be the notebook as a text, not {type(content).__name__}")
        return self.resolve(body.get("path")), content.encode(errors="surrogatepass")

    async def about(self, body: dict[str, Any]) -> About:  # Any: JSON
        """Return what the notebook is, refusing one that belongs to no pipeline."""
        file, content = self.notebook(body)
        about = await self.in_thread(partial(describe_notebook, file, content, root=self.root))
        if about.pipeline is None or about.folder is None:
            raise InvalidInput(
                f"{file.name!r} belongs to no pipeline; put a pipeline.yaml with name, owner and steps beside it"
            )
        return about

    def folder_of(self, path: object) -> Path:
        """Return the folder of the pipeline that a file belongs to.

        Raises:
            NotFound: It belongs to none; `pipeline.yaml` may have been deleted meanwhile.
        """
        file = self.resolve(path)
        folder = pipeline_folder(file, root=self.root)
        if folder is None:
            raise NotFound(
                f"{file.name!r} belongs to no pipeline: there is no pipeline.yaml beside it (any more)"
            )
        return folder

    @property
    def tests(self) -> InterfaceTests:
        """The interface tests of this server."""
        tests: InterfaceTests = self.settings.setdefault("rasen_interface_tests", InterfaceTests())
        return tests

    async def platform(self) -> Platform:
        """Return the platform that this server's settings name."""
        return await self.in_thread(connect)


class AboutHandler(_NotebookHandler):
    """`POST rasen/about {"path", "content"}`: pipeline, step, parameters, commit."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Describe the notebook without asking the platform."""
        file, content = self.notebook(self.body())
        self.finish(asdict(await self.in_thread(partial(describe_notebook, file, content, root=self.root))))


class DeskHandler(_NotebookHandler):
    """`GET rasen/desk?pipeline=…&path=…`: what is deployed, the runs, a log, the interface test."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Ask the platform; what it does not know yet is an answer too."""
        folder = self.folder_of(self.get_query_argument("path"))
        pipeline = self.get_query_argument("pipeline")
        awaited = [run for run in self.get_query_argument("awaited", "").split(",") if run]
        opened = self.get_query_argument("opened", "") or None
        offset = self.get_query_argument("offset", "0")
        platform = await self.platform()
        test = self.tests.newest(folder)
        desk = await self.in_thread(
            lambda: platform.desk(
                pipeline,
                limit=_SHOWN_RUNS,
                awaited=awaited,
                opened=opened,
                offset=int(offset) if offset.isdecimal() else 0,
            )
        )
        self.finish({**desk, "test": None if test is None else test.to_json()})


class RunsHandler(_NotebookHandler):
    """`POST rasen/runs {"path", "content", "source", "parameters", "typed", "deploy"}`: a run in the platform."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Ask for a run of the working copy, unsaved work included, or of the registered release."""
        body = self.body()
        about = await self.about(body)
        if about.problem is not None:
            raise InvalidInput(about.problem)
        parameters, typed = body.get("parameters", {}), body.get("typed", {})
        for values in (parameters, typed):
            if not isinstance(values, dict):
                raise InvalidInput(f"parameters and typed must be objects, not {type(values).__name__}")
        platform = await self.platform()
        file, content = self.notebook(body)
        match body.get("source"):
            case "working-copy":
                assert about.folder is not None  # `about` refuses a notebook without
                folder = self.root / about.folder
                begun = await self.in_thread(
                    lambda: platform.run_working_copy(
                        about, folder, edited=file, content=content, parameters=parameters, typed=typed
                    )
                )
            case "release":
                deploy = body.get("deploy", False) is True
                begun = await self.in_thread(
                    lambda: platform.run_release(
                        str(about.pipeline), parameters=parameters, typed=typed, deploy=deploy
                    )
                )
            case other:
                raise InvalidInput(f"source {other!r} must be 'working-copy' or 'release'")
        self.set_status(202)
        self.finish(begun)


class CancelHandler(_NotebookHandler):
    """`POST rasen/runs/RUN/cancel`."""

    @authenticated
    @authorized
    async def post(self, run: str) -> None:
        """Ask the platform to end a run."""
        platform = await self.platform()
        await self.in_thread(lambda: platform.cancel(run))
        self.finish({})


class OutputHandler(_NotebookHandler):
    """`POST rasen/runs/RUN/output {"step"}`: brings an output notebook into a folder that git does not see."""

    @authenticated
    @authorized
    async def post(self, run: str) -> None:
        """Write the output notebook of a step under the root and return its path for the file browser."""
        step = self.body().get("step")
        if not isinstance(step, str):
            raise InvalidInput(f"step {step!r} must be the name of a step")
        platform = await self.platform()
        path = await self.in_thread(lambda: platform.write_output(run, step, self.resolve(_OUTPUTS)))
        self.finish({"path": path.relative_to(self.root).as_posix()})


class ComparisonHandler(_NotebookHandler):
    """`POST rasen/comparison {"path", "content"}`: the notebook beside the deployed version's, as a page."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Return `{"title", "html"}`; the page holds no script that runs."""
        body = self.body()
        about = await self.about(body)
        file, content = self.notebook(body)
        platform = await self.platform()
        assert about.folder is not None  # `about` refuses a notebook without
        name = file.relative_to(self.root / about.folder).as_posix()
        self.finish(await self.in_thread(lambda: platform.compare(about, name, content)))


class InterfaceTestHandler(_NotebookHandler):
    """`POST rasen/interface-tests {"path", "background"}`: tests the pipeline's saved files."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """Begin a test, or return the one that tests the same."""
        body = self.body()
        folder = self.folder_of(body.get("path"))
        unchanged = body.get("background") is not True
        test = await self.in_thread(lambda: self.tests.begin(folder, even_unchanged=unchanged))
        self.set_status(202)
        self.finish(test.to_json())


class StopTestHandler(_NotebookHandler):
    """`POST rasen/interface-tests/stop {"path"}`."""

    @authenticated
    @authorized
    async def post(self) -> None:
        """End the test of the pipeline, if one is running."""
        folder = self.folder_of(self.body().get("path"))
        await self.in_thread(lambda: self.tests.stop(folder))
        self.finish({})


_RUN = r"(?P<run>[0-9A-Za-z-]{4,64})"
RUNS_ROUTES = (
    (r"about", AboutHandler),
    (r"desk", DeskHandler),
    (r"runs", RunsHandler),
    (rf"runs/{_RUN}/cancel", CancelHandler),
    (rf"runs/{_RUN}/output", OutputHandler),
    (r"comparison", ComparisonHandler),
    (r"interface-tests", InterfaceTestHandler),
    (r"interface-tests/stop", StopTestHandler),
)
