"""Every error that Rasen raises on purpose, in one tree.

Each class carries the exit code of the process that ends with it, so that a scheduler can tell "try again"
(75, as in sysexits.h) from "a person must act". Messages say what failed, the value, and what would be right.

    RasenError                      1
    ├── InvalidInput                2   somebody asked for something that cannot be
    │   ├── ParameterError              a parameter: unknown, missing, of the wrong type
    │   ├── PipelineError               pipeline.yaml or the graph of its steps
    │   ├── NotebookError               a notebook that cannot be run as a step
    │   ├── QueryError                  SQL outside the verified constructs, unknown table
    │   ├── PublishError                what was given to `rasen.publish` cannot be served
    │   ├── RequestRefused              the prediction service refuses a request; each bad field is named
    │   │   └── AccessRefused           no key or token, or not the right one
    │   └── NotFound                    a name that does not exist
    ├── StepFailed                  42  a cell raised
    ├── ValidationFailed            44  the data are not what the pipeline was built for
    ├── ModelFailed                 45  a model raised, answered NaN, or the wrong number of rows
    │   └── AnswerNotFinite             it answered, but NaN, infinity, or nothing for some row
    ├── TrustError                  46  provenance could not be proved; nothing was loaded
    │   ├── SignatureInvalid            not signed, or not by what it claims
    │   ├── DigestMismatch              the bytes are not the ones that were signed for
    │   └── KeyRefused                  a key that is unknown, revoked, or of another role or environment
    ├── StoreError                  75  the object store
    │   ├── ObjectNotFound              (exit code 2: trying again does not help)
    │   ├── PreconditionFailed          somebody else wrote first
    │   └── StoreUnavailable            down, slow, or full: try again
    │       └── SignerUnavailable       the same of the KMS that signs
    ├── ServiceUnavailable          75  the prediction service does not answer now: try again
    └── PlatformFailed              70  this machine: port in use, disk full, a process that died
"""

from __future__ import annotations


class RasenError(Exception):
    """Base of all errors that Rasen raises on purpose.

    Subclasses take only positional arguments and hand all of them to `Exception`, because an error crosses
    process borders as a pickle and is rebuilt from `args`.
    """

    exit_code = 1


class InvalidInput(RasenError):
    """Somebody asked for something that cannot be done; the message says what would be right."""

    exit_code = 2


class ParameterError(InvalidInput):
    """A parameter is unknown, missing, or has a value of the wrong type."""


class PipelineError(InvalidInput):
    """`pipeline.yaml`, or the graph of steps that it describes, is wrong."""


class NotebookError(InvalidInput):
    """A notebook cannot be run as a step."""


class QueryError(InvalidInput):
    """A query uses something outside the verified constructs, or a table that does not exist."""


class PublishError(InvalidInput):
    """What was given to `rasen.publish` cannot be served."""


class RequestRefused(InvalidInput):
    """The prediction service refuses a request; sending it again does not help.

    Args:
        message: What to tell a person.
        status: The HTTP status.
        code: The error's code, such as `invalid_input`.
        fields: Each bad field: where it stands, for example `("rows", 0, "hour")`, and what is wrong with it.
        request_id: Under which the operator finds the request.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        code: str = "",
        fields: tuple[tuple[tuple[str | int, ...], str], ...] = (),
        request_id: str = "",
    ) -> None:
        super().__init__(message, status, code, fields, request_id)
        self.status = status
        self.code = code
        self.fields = fields
        self.request_id = request_id

    def __str__(self) -> str:
        return str(self.args[0])


class AccessRefused(RequestRefused):
    """The prediction service does not know who asks, or what is asked for is not for him."""


class NotFound(InvalidInput):
    """A name that does not exist; the message lists those that do."""


class StepFailed(RasenError):
    """A cell of a step's notebook raised.

    Args:
        message: What to tell a person.
        step: The step's name.
        cell: Index of the cell in the notebook, counted from 0, or `None` when no cell was at fault.
        error_name: Class name of the exception that the cell raised.
    """

    exit_code = 42

    def __init__(self, message: str, step: str = "", cell: int | None = None, error_name: str = "") -> None:
        super().__init__(message, step, cell, error_name)
        self.step = step
        self.cell = cell
        self.error_name = error_name

    def __str__(self) -> str:
        return str(self.args[0])


class ValidationFailed(RasenError):
    """The data are not what the pipeline was built for; nothing was trained and nothing published."""

    exit_code = 44


class ModelFailed(RasenError):
    """A model raised, answered a non-finite number, or answered another number of rows than it was asked."""

    exit_code = 45


class AnswerNotFinite(ModelFailed):
    """A model answered NaN, infinity, or left a row without an answer."""


class TrustError(RasenError):
    """Provenance could not be proved; nothing was loaded."""

    exit_code = 46


class SignatureInvalid(TrustError):
    """An object is not signed, or not by the role and for the key that it claims."""


class DigestMismatch(TrustError):
    """The bytes are not the ones that were signed for."""


class KeyRefused(TrustError):
    """The signing key is unknown, revoked, or stands for another role or environment."""


class StoreError(RasenError):
    """The object store could not do what it was asked."""

    exit_code = 75


class ObjectNotFound(StoreError):
    """There is no object under that key."""

    exit_code = 2


class PreconditionFailed(StoreError):
    """The object is not in the state that the writer had expected: somebody else wrote first."""


class StoreUnavailable(StoreError):
    """The store is down, slow or full. Nothing was changed; trying again is right."""


class SignerUnavailable(StoreUnavailable):
    """The KMS that holds the signing key does not answer now: nothing was signed; trying again is right.

    It stands below the store's outage because whoever writes a signed object meets both at the same place, and what is
    right is the same.
    """


class ServiceUnavailable(RasenError):
    """The prediction service does not answer now: it is down, too busy, or the caller asks too often. Try again."""

    exit_code = 75


class PlatformFailed(RasenError):
    """This machine cannot do it: a port in use, a full disk, a process that died."""

    exit_code = 70
