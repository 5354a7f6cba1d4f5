"""Downloads: content-addressed files, as they were stored."""

import io
import zipfile
from hashlib import sha256

import pytest
from sqlalchemy import select

from lrsearch.db.tables import TrialRow
from tests.api.conftest import Json, problem
from tests.api.samples import checkpoint, silhouettes, weights
from tests.api.serving import Api


def test_a_data_set_comes_back_as_label_and_filename(shared: Api) -> None:
    answer = shared.get("/v1/datasets/animals/content")
    assert answer.headers["content-type"] == "application/zip"
    assert "animals.zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert {sha256(c).digest() for c in contents.values()} == {
        sha256(c).digest() for c in silhouettes().values()
    }
    assert {path.partition("/")[0] for path in contents} == {
        path.partition("/")[0] for path in silhouettes()
    }


def test_weights_come_back_byte_by_byte(shared: Api, finished: Json) -> None:
    content = checkpoint(fill=3.0)
    shared.post("/v1/source-models", params={"name": "mine"}, content=content)
    assert shared.get("/v1/source-models/mine/weights").content == content
    winner = shared.get(f"/v1/jobs/{finished['id']}/weights")
    assert winner.content == weights(1)
    assert f"{finished['id']}.safetensors" in winner.headers["content-disposition"]


@pytest.mark.parametrize(
    "path", ["/v1/datasets/animals/content", "/v1/jobs/{job}/weights", "/v1/blobs/{sha256}"]
)
def test_a_file_says_its_content_address_and_is_not_to_be_sniffed(
    shared: Api, finished: Json, path: str
) -> None:
    result = shared.get(f"/v1/jobs/{finished['id']}/result").json()
    answer = shared.get(path.format(job=finished["id"], sha256=result["weights_sha256"]))
    assert answer.status_code == 200
    assert answer.headers["etag"] == f'"{sha256(answer.content).hexdigest()}"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-length"] == str(len(answer.content))


def test_a_download_that_broke_off_is_resumed(shared: Api) -> None:
    path = "/v1/datasets/animals/content"
    whole = shared.get(path)
    headers = {"Range": "bytes=1000-", "If-Range": whole.headers["etag"]}
    rest = shared.get(path, headers=headers)
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])


def test_the_weights_of_the_worst_trial_are_not_kept(shared: Api, finished: Json) -> None:
    known = {number: sha256(weights(number)).hexdigest() for number in range(3)}
    query = select(TrialRow.number, TrialRow.weights_sha256)
    with shared.service.database.read() as session:
        kept = dict(session.execute(query.where(TrialRow.job_id == finished["id"])).all())
    assert kept == {0: known[0], 1: known[1], 2: None}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/source-models/random/weights", 404, "blob_unknown"),  # it has none
        ("/v1/source-models/nobody/weights", 404, "source_model_unknown"),
        ("/v1/datasets/nobody/content", 404, "data_set_unknown"),
        (f"/v1/blobs/{'0' * 64}", 404, "blob_unknown"),
        ("/v1/blobs/..%2F..%2Flrsearch.db", 404, None),
        ("/v1/blobs/lrsearch.db", 422, "invalid"),
        (f"/v1/blobs/{'A' * 64}", 422, "invalid"),
    ],
)
def test_what_is_not_there_is_a_problem(
    shared: Api, path: str, status: int, code: str | None
) -> None:
    problem(shared.get(path), status, code)


def test_a_job_that_is_not_over_has_no_result_and_no_weights(shared: Api) -> None:
    job = shared.post("/v1/jobs", json={"data_set": "animals", "source_model": "random"}).json()
    for what in ("result", "weights"):
        refused = problem(shared.get(f"/v1/jobs/{job['id']}/{what}"), 409, "job_not_finished")
        assert f"/v1/jobs/{job['id']}/events" in refused["remedy"]
    shared.post(f"/v1/jobs/{job['id']}/cancel")
    for what in ("result", "weights"):
        refused = problem(shared.get(f"/v1/jobs/{job['id']}/{what}"), 404, "no_result")
        assert "cancelled" in refused["detail"]
