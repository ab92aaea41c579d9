"""One real service, many endpoints: switches under load, versions that are wrong, workers that die."""

import json
import pickle
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cloudpickle
import pytest

from rasen.tracking.keys import deployment_key, manifest_key
from rasen.tracking.ledger_records import LedgerRecord
from rasen.tracking.replica_report import EndpointReport, ReplicaReport
from rasen.tracking.signature import FileSigner, PublicKey, Role, sign
from stand.published import Trap
from stand.serving import Server, bring_up, new_settings, running_server, under_load, wait_until
from stand.versions import (
    deploy_version,
    linear,
    moody,
    publish_and_deploy,
    publish_version,
    repeat_deployment,
    with_model_bytes,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = new_settings(tmp_path_factory.mktemp("serving"), environment="dev", reconcile_seconds=1.0)
    with running_server(settings) as server:
        yield server


def stranger(tmp_path: Path, role: Role) -> FileSigner:
    """Return a signer whose key nobody trusts."""
    path = tmp_path / "stranger.key"
    path.write_bytes(bytes(range(32)))
    path.chmod(0o600)
    return FileSigner(path, role)


def test_two_endpoints_answer_each_with_its_own(server: Server) -> None:
    first, second = bring_up(server, "first", number=2), bring_up(server, "second", number=3)
    for endpoint, version, answer in (("first", first, 14.0), ("second", second, 21.0)):
        got = server.predict(endpoint)
        assert got.json()["predictions"] == [answer]
        assert got.headers["x-rasen-model"] == version.run
    assert "'first'" in server.predict("third").json()["error"]["message"]


@pytest.mark.endurance
def test_switches_under_load_cost_no_request_and_mix_nothing(server: Server) -> None:
    versions = [bring_up(server, "busy")]
    with under_load(server, "busy") as load:
        for number in range(2, 8):
            load.wait_for(20)
            versions.append(bring_up(server, "busy", number=number))
        load.wait_for(50)
    assert load.failures == []
    answers = {version.run: 7.0 * number for number, version in enumerate(versions, start=1)}
    assert load.models() == set(answers)
    for status, said, header, prediction in load.answers:
        assert status == 200
        assert said == header
        assert prediction == answers[said]
    # What was replaced is gone but for the revision before, counted in the next beat.
    live = sum(one["revision"] is not None for one in server.state()["endpoints"].values())
    wait_until(
        lambda: (
            server.metric("rasen_serving_models_in_memory")
            == server.metric("rasen_serving_models_expected")
            <= 2 * 2 * live
        )
    )


def test_a_record_that_repeats_the_version_changes_the_number_only(server: Server) -> None:
    version = bring_up(server, "held")
    number = repeat_deployment(server.store, server.settings, version)
    server.wait_revision("held", number)
    answer = server.predict("held")
    assert (answer.headers["x-rasen-model"], answer.headers["x-rasen-revision"]) == (version.run, "2")


def test_a_rollback_is_a_switch_like_any_other(server: Server) -> None:
    old, new = bring_up(server, "undone", number=1), bring_up(server, "undone", number=2)
    assert server.predict("undone").headers["x-rasen-model"] == new.run
    number = deploy_version(server.store, server.settings, old, action="rollback")
    server.wait_revision("undone", number)
    assert server.predict("undone").headers["x-rasen-model"] == old.run


def test_a_new_record_is_found_without_hint_and_without_heads(server: Server) -> None:
    bring_up(server, "unhinted", number=1)
    version = publish_and_deploy(server.store, server.settings, number=2, pipeline="unhinted")
    server.store.write("endpoints/heads.json", b'{"unhinted": 1}')
    wait_until(lambda: server.predict("unhinted").headers["x-rasen-model"] == version.run)


def test_garbage_in_heads_disturbs_nobody(server: Server) -> None:
    bring_up(server, "steady")
    for heads in (b"not JSON", b'{"steady": 99, "Bad Name": 1, "nobody": 7}'):
        server.store.write("endpoints/heads.json", heads)
        server.reload()
        assert server.predict("steady").status_code == 200
    version = publish_and_deploy(server.store, server.settings, number=2, pipeline="steady")
    server.wait_revision("steady", 2)
    assert server.predict("steady").headers["x-rasen-model"] == version.run


@pytest.mark.parametrize("how", ["replaced", "truncated", "flipped", "gone"])
def test_a_file_that_is_not_the_signed_one_is_never_unpickled(
    server: Server, tmp_path: Path, how: str
) -> None:
    endpoint, mark = f"file_{how}", tmp_path / "sprung"
    good = bring_up(server, endpoint, number=1)
    trap = with_model_bytes(pickle.dumps(Trap(mark)) + bytes(1000))
    wrong = publish_version(server.store, server.settings, number=2, pipeline=endpoint, change=trap)
    key = wrong.files["model"].key
    data = server.store.read(key)
    match how:
        case "replaced":
            server.store.write(key, pickle.dumps(Trap(mark)))
        case "truncated":
            server.store.write(key, data[:-500])
        case "flipped":
            server.store.write(key, data[:-1] + b"\x01")
        case "gone":
            server.store.delete(key)
    number = deploy_version(server.store, server.settings, wrong)
    reason = server.wait_refusal(endpoint, number)
    assert key in reason
    assert not mark.exists()
    assert server.predict(endpoint).headers["x-rasen-model"] == good.run


@pytest.mark.parametrize("what", ["manifest", "ledger", "unsigned", "swapped", "other_role"])
def test_what_nobody_trusted_has_signed_is_refused(server: Server, tmp_path: Path, what: str) -> None:
    endpoint, mark = f"sign_{what}", tmp_path / "sprung"
    good = bring_up(server, endpoint, number=1)
    trap = with_model_bytes(pickle.dumps(Trap(mark)))
    store, settings = server.store, server.settings
    signer = stranger(tmp_path, Role.CONTROL) if what == "manifest" else None
    wrong = publish_version(store, settings, number=2, pipeline=endpoint, change=trap, signer=signer)
    match what:
        case "ledger":
            number = deploy_version(store, settings, wrong, signer=stranger(tmp_path, Role.DECIDER))
        case "swapped":
            # A manifest that is well signed, but not the one that was decided about.
            number = deploy_version(store, settings, replace(wrong, manifest_sha256="0" * 64))
        case _:
            number = deploy_version(store, settings, wrong)
    key = deployment_key(endpoint, number)
    payload = store.read(key).partition(b"\n")[2]
    if what == "unsigned":
        store.write(key, payload)
    if what == "other_role":
        header, _, body = store.read(manifest_key(endpoint, wrong.run)).partition(b"\n")
        store.write(key, header + b"\n" + body)
    reason = server.wait_refusal(endpoint, number)
    expected = {
        "manifest": "not among the trusted keys",
        "ledger": "not among the trusted keys",
        "unsigned": "is not signed",
        "swapped": "the manifest of run",
        "other_role": "'decider' must sign it",
    }
    assert expected[what] in reason
    assert not mark.exists()
    assert server.predict(endpoint).headers["x-rasen-model"] == good.run


def test_a_record_of_another_environment_is_refused(server: Server, tmp_path: Path) -> None:
    good = bring_up(server, "abroad", number=1)
    signer = stranger(tmp_path, Role.DECIDER)
    trusted = json.loads(server.settings.trust_file.read_bytes())
    entry = PublicKey(
        key_id=signer.key_id, role=Role.DECIDER, public_key=_public(signer), environments=["staging"]
    )
    trusted["keys"].append(entry.model_dump(mode="json"))
    server.settings.trust_file.write_text(json.dumps(trusted))
    wrong = publish_version(server.store, server.settings, number=2, pipeline="abroad")
    number = deploy_version(server.store, server.settings, wrong, signer=signer)
    assert "not in 'dev'" in server.wait_refusal("abroad", number)
    assert server.predict("abroad").headers["x-rasen-model"] == good.run


def _public(signer: FileSigner) -> str:
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return base64.b64encode(private.public_key().public_bytes_raw()).decode()


def _exits_when_loaded() -> object:
    import os

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os._exit, (3,))

    return Bomb()


def _answers_otherwise() -> object:
    return linear(99)


def _never_loads() -> object:
    class Missing:
        def __reduce__(self) -> tuple[object, ...]:
            return (__import__, ("no_such_library",))

    return Missing()


@pytest.mark.parametrize(
    ("make_model", "said"),
    [
        (_exits_when_loaded, "came to an end: exit status 3"),
        (_answers_otherwise, "differ from the published ones"),
        (_never_loads, "no_such_library"),
    ],
)
def test_a_signed_version_that_goes_wrong_is_refused_and_the_old_one_answers(
    server: Server, make_model: Callable[[], object], said: str
) -> None:
    endpoint = make_model.__name__.strip("_")
    good = bring_up(server, endpoint, number=1)
    workers = {one.pid for one in server.workers()}
    wrong = publish_version(
        server.store,
        server.settings,
        number=2,
        pipeline=endpoint,
        change=with_model_bytes(cloudpickle.dumps(make_model())),
    )
    with under_load(server, endpoint, callers=2) as load:
        number = deploy_version(server.store, server.settings, wrong)
        assert said in server.wait_refusal(endpoint, number)
        load.wait_for(10)
    assert load.failures == []
    assert load.models() == {good.run}
    assert {one.pid for one in server.workers()} == workers
    # The next good one is taken, and the refusal is forgotten.
    after = bring_up(server, endpoint, number=3)
    assert server.predict(endpoint).headers["x-rasen-model"] == after.run
    assert server.state()["endpoints"][endpoint]["refused"] == {}


def test_an_endpoint_whose_only_version_is_refused_says_so_and_harms_nobody(server: Server) -> None:
    bring_up(server, "neighbour")
    wrong = publish_version(
        server.store,
        server.settings,
        number=1,
        pipeline="hopeless",
        change=with_model_bytes(cloudpickle.dumps(_never_loads())),
    )
    deploy_version(server.store, server.settings, wrong)
    server.wait_refusal("hopeless", 1)
    wait_until(lambda: "no_such_library" in server.predict("hopeless").text)
    assert server.predict("hopeless").status_code == 503
    assert server.client.get(f"{server.url}/readyz").status_code == 200
    assert server.predict("neighbour").status_code == 200
    assert server.metric('rasen_serving_refused{endpoint="hopeless"}') == 1


def test_every_answered_row_is_logged_dropped_or_lost_and_every_version_reported(server: Server) -> None:
    bring_up(server, "logged")
    reported = bring_up(server, "reported", model=moody())
    for hour in (7, 7, 101, "seven"):
        server.predict("reported", hour=hour)
    wait_until(lambda: server.metric('rasen_serving_requests_total{endpoint="reported"') == 4)
    with under_load(server, "logged") as load:
        load.wait_for(100)
        server.workers()[0].kill()
        load.wait_for(100)
    wait_until(lambda: len(server.state()["workers"]) == 2)

    def rows(outcome: str) -> float:
        return server.metric(f'rasen_serving_log_rows_total{{outcome="{outcome}"}}')

    wait_until(lambda: rows("answered") == rows("written") + rows("dropped") + rows("lost"))
    wait_until(lambda: rows("shipped") == rows("written"), seconds=40)
    assert rows("dropped") == 0
    assert rows("answered") >= len(load.answers)
    assert list(server.store.list("predictions/logged/date="))

    def report() -> EndpointReport:
        (stat,) = server.store.list("replicas/")
        endpoints = ReplicaReport.from_bytes(server.store.read(stat.key)).endpoints
        return endpoints.get("reported", EndpointReport())

    wait_until(lambda: report().variants != [], seconds=40)
    assert (report().revision, report().run, report().refused) == (1, reported.run, {})
    (variant,) = report().variants
    assert (variant.run, variant.revision, variant.role) == (reported.run, 1, "champion")
    assert (variant.requests, variant.errors, variant.latency_buckets["+Inf"]) == (3, 1, 3)


def test_the_admin_port_answers_four_routes(server: Server) -> None:
    assert server.client.get(f"{server.admin_url}/-/live").json() == {"live": True}
    assert server.client.get(f"{server.admin_url}/-/reload").status_code == 405
    assert server.client.get(f"{server.admin_url}/nothing").status_code == 404
    with socket.create_connection(("127.0.0.1", server.settings.admin_port)) as connection:
        connection.sendall(b"not http\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_never_ends_is_answered_when_it_is_too_large(server: Server) -> None:
    bring_up(server, "limited")
    head = (
        "POST /endpoints/limited/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", server.settings.serving_port), timeout=20) as connection:
        connection.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(1 + server.settings.max_body_bytes // 0x10000):
            connection.sendall(chunk)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert server.predict("limited").status_code == 200


def test_a_ledger_record_without_a_version_is_told(server: Server) -> None:
    version = publish_version(server.store, server.settings, number=1, pipeline="rejected")
    number = deploy_version(server.store, server.settings, version)
    key = deployment_key("rejected", number)
    record = LedgerRecord.from_bytes(server.store.read(key).partition(b"\n")[2])
    refusal = record.model_copy(
        update={
            "action": "refuse",
            "reason": "rmse 9 is not better",
            "state": record.state.model_copy(update={"variants": []}),
        }
    )
    signer = FileSigner(server.settings.keys_dir / "decider.key", Role.DECIDER)
    server.store.write(key, sign(key, refusal.to_bytes(), signer))
    server.wait_refusal("rejected", number)
    wait_until(lambda: "rmse 9 is not better" in server.predict("rejected").text)
    assert server.predict("rejected").status_code == 503
