"""Google Cloud KMS, as far as a signer uses it: a real gRPC server that really signs, and can be told to go wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import google_crc32c
import grpc
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.cloud import kms_v1

RING = "projects/tests/locations/europe-west1/keyRings/rasen/cryptoKeys"
_SERVICE = "google.cloud.kms.v1.KeyManagementService"
_MOST_BYTES = 65_536
ALGORITHMS = kms_v1.CryptoKeyVersion.CryptoKeyVersionAlgorithm


class KeyManagement:
    """Holds key versions by name.

    `failures` are statuses that it answers first; `change` may change an answer before it is sent; what is in
    `disabled` and `forbidden` cannot be used, and why is said as Google says it.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Ed25519PrivateKey] = {}
        self.failures: list[grpc.StatusCode] = []
        self.change: Callable[[Any], None] = lambda answer: None
        self.disabled: set[str] = set()
        self.forbidden: set[str] = set()
        self.other_algorithm: set[str] = set()
        self.asked: list[str] = []
        self.endpoint = ""
        self._lock = threading.Lock()

    def make_version(self, key: str, version: int = 1) -> str:
        """Make a key version and return its address."""
        name = f"{RING}/{key}/cryptoKeyVersions/{version}"
        self.keys[name] = Ed25519PrivateKey.generate()
        return f"gcp-kms://{name}"

    def _find(self, name: str, method: str, context: grpc.ServicerContext) -> Ed25519PrivateKey:
        with self._lock:
            self.asked.append(f"{method} {name}")
            if self.failures:
                context.abort(self.failures.pop(0), "try again")
        if name in self.forbidden:
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"Permission denied on resource {name}")
        if name not in self.keys:
            context.abort(grpc.StatusCode.NOT_FOUND, f"CryptoKeyVersion {name} not found.")
        if name in self.disabled:
            context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, f"{name} is not enabled, current state is: DISABLED."
            )
        return self.keys[name]

    def get_public_key(
        self, request: kms_v1.GetPublicKeyRequest, context: grpc.ServicerContext
    ) -> kms_v1.PublicKey:
        private = self._find(request.name, "get", context)
        public: Any = private.public_key()
        algorithm = ALGORITHMS.EC_SIGN_ED25519
        if request.name in self.other_algorithm:
            public, algorithm = generate_private_key(SECP256R1()).public_key(), ALGORITHMS.EC_SIGN_P256_SHA256
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        answer = kms_v1.PublicKey(
            name=request.name, pem=pem.decode(), algorithm=algorithm, pem_crc32c=google_crc32c.value(pem)
        )
        self.change(answer)
        return answer

    def asymmetric_sign(
        self, request: kms_v1.AsymmetricSignRequest, context: grpc.ServicerContext
    ) -> kms_v1.AsymmetricSignResponse:
        private = self._find(request.name, "sign", context)
        if len(request.data) > _MOST_BYTES or "digest" in request:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, f"data must be at most {_MOST_BYTES} bytes, without digest"
            )
        if request.data_crc32c != google_crc32c.value(request.data):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the checksum of the data does not match")
        signature = private.sign(request.data)
        answer = kms_v1.AsymmetricSignResponse(
            name=request.name,
            signature=signature,
            signature_crc32c=google_crc32c.value(signature),
            verified_data_crc32c=True,
        )
        self.change(answer)
        return answer


@contextmanager
def running_kms() -> Iterator[KeyManagement]:
    """Run the service on a free port of this machine."""
    service = KeyManagement()
    server = grpc.server(ThreadPoolExecutor(4))
    handlers = {
        "GetPublicKey": grpc.unary_unary_rpc_method_handler(
            service.get_public_key,
            request_deserializer=kms_v1.GetPublicKeyRequest.deserialize,
            response_serializer=kms_v1.PublicKey.serialize,
        ),
        "AsymmetricSign": grpc.unary_unary_rpc_method_handler(
            service.asymmetric_sign,
            request_deserializer=kms_v1.AsymmetricSignRequest.deserialize,
            response_serializer=kms_v1.AsymmetricSignResponse.serialize,
        ),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, handlers)])
    service.endpoint = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield service
    finally:
        server.stop(0).wait()
