"""A service in which something is there for each request: jobs, leases and data sets in all states.

Random ids meet nothing but 404. So most requests are aimed: their ids are replaced by known ones,
those that the service itself has answered included.
"""

import random
from collections import deque
from hashlib import sha256
from typing import Any

from schemathesis import Case, GenerationMode, Response
from schemathesis.core.parameters import ParameterLocation

from lrsearch.contract.leases import LEASE_TOKEN_HEADER, Lease, Work
from tests.api.conftest import bearer, secret, until, uploaded
from tests.api.fake_worker import FakeWorker
from tests.api.samples import checkpoint, silhouettes, weights, zip_of
from tests.api.serving import Api

AIMED = 0.8
"""Share of the requests whose ids are replaced by known ones."""

FOLDER = "folder"
"""Below the service's image root, with images."""

KEPT = 12
"""So many ids of a kind are known, the latest."""

REFRESH_CALLS = 20
"""After so many requests a new job is submitted and a new lease claimed: many are spoilt."""

LONGEST_CLAIM_SECONDS = 0.02

BASELINE_AND_TRIALS = {0: 0.5, 1: 0.9, 2: 0.7}

JOB = {
    "data_set": "animals",
    "source_model": "random",
    "confirm": False,
    "strategy": "exhaustive",
    "protocol": {"name": "uniform", "il": [0.0, 0.001, 0.01], "ll": [0.01]},
    "recipe": {"epochs": 2, "splits": {"validation": 0.16, "test": 0.5}},
}


class World:
    """What is known of a service that runs with keys.

    Args:
        api: The service, which has an image root; requests that make the world go with an
            administrator's key.
        owner: Whose things they are.
        seed: Of the aiming.
    """

    def __init__(self, api: Api, owner: str, seed: int) -> None:
        api.headers.update(bearer(secret(api, "admin", owner=owner)))
        self._api = api
        self._chance = random.Random(seed)  # noqa: S311  # a test's, no secret
        self._calls = 0
        self._known: dict[str, deque[str]] = {}
        self._leases: deque[Lease] = deque(maxlen=4)
        images = silhouettes(labels=2, images=4)
        self._archive = zip_of(images)
        for path, content in images.items():
            file = api.settings.image_roots[0] / FOLDER / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        uploaded(api, "animals", zip_of(silhouettes()))
        uploaded(api, "broken", b"no archive")
        self._know("data_set", "animals", "broken")
        self._know("source_model", "random", "general")
        self._know("finished", self._submit("finished"))
        FakeWorker(api).work_off(BASELINE_AND_TRIALS)
        until(lambda: self._state(self._known["finished"][0]) == "complete")
        self._know("finished", self._submit("cancelled"))
        api.post(f"/v1/jobs/{self._known['finished'][-1]}/cancel")
        self._know("sha256", self._winner())
        registered = api.post("/v1/source-models", params={"name": "own"}, content=checkpoint())
        self._know("source_model", registered.json()["name"])
        self._refresh()

    def aim(self, case: Case) -> None:
        """Replace ids of a request that is about to be sent by known ones, mostly."""
        self._calls += 1
        if self._calls % REFRESH_CALLS == 0:
            self._refresh()
        lease = self._chance.choice(self._leases)
        uploads = case.path.endswith(("/weights", "/checkpoint"))  # which only trials have
        trials = [work for work in lease.work if work.kind == "trial"]
        work = self._chance.choice(trials if uploads and trials else lease.work)
        if _may_be_changed(case, ParameterLocation.PATH):
            for name in case.path_parameters:
                if self._chance.random() < AIMED:
                    case.path_parameters[name] = self._id(name, case, lease, work)
        if _may_be_changed(case, ParameterLocation.HEADER) and LEASE_TOKEN_HEADER in case.headers:
            case.headers[LEASE_TOKEN_HEADER] = lease.token
        if _may_be_changed(case, ParameterLocation.BODY):
            self._aim_body(case, work)
        if isinstance(case.body, dict) and case.body.get("wait_seconds", 20.0) != 0:
            _wait_less(case)

    def learn(self, case: Case, response: Response) -> None:
        """Remember what a request has made."""
        if response.status_code not in (200, 201, 202):
            return
        match f"{case.method} {case.path}":
            case "POST /v1/jobs":
                self._know("job_id", response.json()["id"])
            case "POST /v1/datasets":
                self._know("data_set", response.json()["name"])
            case "POST /v1/source-models":
                self._know("source_model", response.json()["name"])
            case "POST /v1/keys":
                self._know("key", response.json()["key"]["id"])
            case "POST /v1/workers":
                self._know("worker_id", response.json()["id"])
            case "POST /v1/leases":
                self._leases.append(Lease.model_validate_json(response.content))
            case "PUT /v1/leases/{lease_id}/work/{work_id}/weights":
                self._know("sha256", response.json()["sha256"])

    def _id(self, name: str, case: Case, lease: Lease, work: Work) -> Any:
        match name:
            case "lease_id":
                return lease.id
            case "work_id":
                return work.id
            case "number":
                return self._chance.randrange(4)
            case "job_id" if case.path.endswith("/events"):
                return self._one("finished")  # the stream of another never ends
            case "job_id" if case.method == "GET" and self._chance.random() < 0.5:
                return self._one("finished")
        return self._one(name)

    def _aim_body(self, case: Case, work: Work) -> None:
        if case.media_type == "application/octet-stream":
            self._aim_upload(case)
            return
        match case.body:
            case {"path": str()} if self._chance.random() < AIMED:
                case.body |= {"path": FOLDER}
            case {"data_set": str()}:
                case.body |= {"data_set": "animals", "source_model": "random"}
            case {"worker_id": str()}:
                case.body |= {"worker_id": self._one("worker_id")}
            case {"job": str()}:
                case.body |= {"job": self._one("finished")}
            case {"epochs": [*epochs]}:
                for epoch in epochs:
                    if isinstance(epoch, dict) and "work_id" in epoch:
                        epoch["work_id"] = work.id

    def _aim_upload(self, case: Case) -> None:
        if self._chance.random() > AIMED:
            return
        if case.path == "/v1/datasets":
            case.body = self._archive
        elif case.path == "/v1/source-models":
            case.body = checkpoint(fill=self._chance.random())
        else:
            case.body = weights(self._chance.randrange(4))
        if "sha256" in case.query and _may_be_changed(case, ParameterLocation.QUERY):
            case.query |= {"sha256": sha256(case.body).hexdigest(), "epochs": 1}

    def _refresh(self) -> None:
        """A new job, worker, lease and key; nothing of the old has to be good any more."""
        self._know("job_id", self._submit("waiting"))
        worker = FakeWorker(self._api)
        self._know("worker_id", worker.worker.id)
        lease = worker.claim(max_trials=2)
        self._leases.append(lease)
        self._put_checkpoint(lease)
        spare = self._api.post("/v1/keys", json={"name": "spare", "scopes": ["read"]}).json()
        self._know("key", spare["key"]["id"])

    def _put_checkpoint(self, lease: Lease) -> None:
        content = weights(0)
        for work in lease.work:
            if work.kind == "trial":
                answer = self._api.put(
                    f"/v1/leases/{lease.id}/work/{work.id}/checkpoint",
                    params={"sha256": sha256(content).hexdigest(), "epochs": 1},
                    headers={LEASE_TOKEN_HEADER: lease.token},
                    content=content,
                )
                assert answer.status_code == 200, answer.text

    def _submit(self, name: str) -> str:
        answer = self._api.post("/v1/jobs", json=JOB | {"name": name})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def _state(self, job_id: str) -> str:
        return str(self._api.get(f"/v1/jobs/{job_id}").json()["state"])

    def _winner(self) -> str:
        weights = self._api.get(f"/v1/jobs/{self._known['finished'][0]}/weights")
        return weights.headers["etag"].strip('"')

    def _know(self, kind: str, *ids: str) -> None:
        self._known.setdefault(kind, deque(maxlen=KEPT)).extend(ids)

    def _one(self, kind: str) -> str:
        return self._chance.choice(self._known[kind])


def _may_be_changed(case: Case, part: ParameterLocation) -> bool:
    """Whether the part is what the description asks for; what is wrong on purpose stays wrong."""
    if case.meta is None:
        return True
    component = case.meta.components.get(part)
    return component is None or component.mode == GenerationMode.POSITIVE


def _wait_less(case: Case) -> None:
    """Claims wait up to a minute for work that does not come."""
    if case.path == "/v1/leases" and isinstance(case.body, dict):
        asked = case.body.get("wait_seconds", 20.0)
        if isinstance(asked, int | float) and LONGEST_CLAIM_SECONDS < asked <= 60.0:
            case.body = case.body | {"wait_seconds": LONGEST_CLAIM_SECONDS}
