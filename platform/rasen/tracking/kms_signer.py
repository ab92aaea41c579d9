"""Signing with a key that never leaves Google Cloud KMS.

Every answer is checked before it is believed: the name of the key version, the CRC32C both ways as Google advises
(https://cloud.google.com/kms/docs/data-integrity-guidelines), and at last the signature itself against the public key,
because a signature that does not fit would be found out only by whoever needs the object.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, TypeVar

from rasen.errors import KeyRefused, PlatformFailed, SignatureInvalid, SignerUnavailable
from rasen.tracking.trust import PublicKey, Role, check_signature, key_id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.api_core.retry import Retry
    from google.cloud.kms_v1 import KeyManagementServiceClient

_SCHEME = "gcp-kms://"
_CALL_SECONDS = 5.0
_LOOPBACK = ("127.0.0.1:", "localhost:", "[::1]:")

_Answer = TypeVar("_Answer")


class KmsSigner:
    """An Ed25519 key version in Google Cloud KMS, algorithm `EC_SIGN_ED25519`."""

    def __init__(self, address: str, role: Role, *, endpoint: str, patience_seconds: float) -> None:
        """Name the key; nothing is asked before the first signature.

        Args:
            address: `gcp-kms://projects/…/cryptoKeyVersions/1`.
            role: What its signatures stand for.
            endpoint: Host, and port if need be, of the KMS; one on this machine is spoken to without TLS.
            patience_seconds: For how long a KMS that does not answer is asked again.
        """
        self._name = address.removeprefix(_SCHEME)
        self._role = role
        self._endpoint = endpoint
        self._patience_seconds = patience_seconds
        self._client: KeyManagementServiceClient | None = None
        self._public: bytes | None = None

    @property
    def role(self) -> Role:
        """What its signatures stand for."""
        return self._role

    @property
    def key_id(self) -> str:
        """First 16 hexadecimal digits of the public key's SHA-256.

        Raises:
            KeyRefused, SignerUnavailable: As `sign`.
        """
        return key_id_of(self.public_key)

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes; asked for once, because that of a key version never changes.

        Raises:
            KeyRefused, SignerUnavailable: As `sign`.
        """
        if self._public is None:
            self._public = self._fetch_public_key()
        return self._public

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`, at most 64 KiB.

        Raises:
            KeyRefused: The key cannot sign: it is not enabled, not ours to use, or of another algorithm.
            SignerUnavailable: The KMS does not answer, or what it answers was damaged on the way.
        """
        public = self.public_key
        import google_crc32c

        request = {"name": self._name, "data": message, "data_crc32c": google_crc32c.value(message)}
        answer = self._ask(
            lambda client, retry: client.asymmetric_sign(request=request, retry=retry, timeout=_CALL_SECONDS),
            may="cloudkms.cryptoKeyVersions.useToSign",
        )
        signature: bytes = answer.signature
        if answer.name != self._name:
            raise KeyRefused(f"the KMS signed with {answer.name!r}, not with {self._name!r}")
        if not answer.verified_data_crc32c:
            raise SignerUnavailable(
                f"what {self._name!r} was to sign did not arrive whole at the KMS; nothing was signed"
            )
        if answer.signature_crc32c != google_crc32c.value(signature):
            raise SignerUnavailable(f"the signature of {self._name!r} was damaged on its way from the KMS")
        key = PublicKey(
            key_id=key_id_of(public),
            role=self._role,
            public_key=base64.b64encode(public).decode(),
            environments=[],
        )
        try:
            check_signature(key, message, signature)
        except SignatureInvalid as error:
            raise SignerUnavailable(
                f"the KMS gave a signature by {self._name!r} that does not fit: {error}"
            ) from error
        return signature

    def _fetch_public_key(self) -> bytes:
        self._client = self._connect()
        import google_crc32c
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
        from google.cloud.kms_v1 import CryptoKeyVersion

        answer = self._ask(
            lambda client, retry: client.get_public_key(
                request={"name": self._name}, retry=retry, timeout=_CALL_SECONDS
            ),
            may="cloudkms.cryptoKeyVersions.viewPublicKey",
        )
        pem = answer.pem.encode()
        if answer.name != self._name or answer.pem_crc32c != google_crc32c.value(pem):
            raise SignerUnavailable(f"the public key of {self._name!r} was damaged on its way from the KMS")
        # Any: proto-plus types its enumerations as plain numbers.
        algorithm: Any = CryptoKeyVersion.CryptoKeyVersionAlgorithm(answer.algorithm)
        wanted: Any = CryptoKeyVersion.CryptoKeyVersionAlgorithm.EC_SIGN_ED25519
        if algorithm != wanted:
            raise KeyRefused(
                f"KMS key {self._name!r} has the algorithm {algorithm.name}; Rasen signs with {wanted.name}"
            )
        try:
            public = load_pem_public_key(pem)
        except ValueError as error:
            raise KeyRefused(f"the public key of {self._name!r} cannot be read: {error}") from error
        if not isinstance(public, Ed25519PublicKey):
            raise KeyRefused(f"the public key of {self._name!r} is no Ed25519 key")
        return public.public_bytes_raw()

    def _ask(self, call: Callable[[KeyManagementServiceClient, Retry], _Answer], *, may: str) -> _Answer:
        """Ask the KMS, again while it is down, and say in our own errors why it does not answer."""
        assert self._client is not None  # the public key was asked for first
        client = self._client
        from google.api_core import exceptions as google_errors
        from google.api_core.retry import Retry, if_exception_type
        from google.auth.exceptions import GoogleAuthError

        passing = (
            google_errors.ServiceUnavailable,
            google_errors.DeadlineExceeded,
            google_errors.InternalServerError,
            google_errors.TooManyRequests,
            google_errors.Aborted,
        )
        retry = Retry(
            predicate=if_exception_type(*passing),
            initial=0.1,
            maximum=2.0,
            multiplier=2.0,
            timeout=self._patience_seconds,
        )
        try:
            return call(client, retry)
        except (*passing, google_errors.RetryError, GoogleAuthError) as error:
            raise SignerUnavailable(
                f"the KMS did not answer for {self._name!r} within {self._patience_seconds:.0f} s: {error}; nothing "
                "was signed, try again"
            ) from error
        except google_errors.PermissionDenied as error:
            raise KeyRefused(
                f"this identity may not use KMS key {self._name!r}; it needs {may} "
                f"(roles/cloudkms.signerVerifier): {error.message}"
            ) from error
        except google_errors.FailedPrecondition as error:
            raise KeyRefused(f"KMS key {self._name!r} is not enabled: {error.message}") from error
        except google_errors.NotFound as error:
            raise KeyRefused(f"there is no KMS key {self._name!r}: {error.message}") from error
        except google_errors.GoogleAPICallError as error:
            raise KeyRefused(f"KMS key {self._name!r} cannot be used: {error.message}") from error

    def _connect(self) -> KeyManagementServiceClient:
        try:
            from google.cloud.kms_v1 import KeyManagementServiceClient
        except ImportError as error:
            raise PlatformFailed(
                f"{_SCHEME}{self._name} needs the library google-cloud-kms; install the extra `rasen[gcp]`"
            ) from error
        from google.auth.exceptions import GoogleAuthError

        if not self._endpoint.startswith(_LOOPBACK):
            try:
                return KeyManagementServiceClient(client_options={"api_endpoint": self._endpoint})
            except GoogleAuthError as error:
                raise PlatformFailed(
                    f"there are no credentials of Google here ({error}); KMS keys need a service account"
                ) from error
        import grpc
        from google.cloud.kms_v1.services.key_management_service.transports import (
            KeyManagementServiceGrpcTransport,
        )

        channel = grpc.insecure_channel(self._endpoint)
        return KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))
