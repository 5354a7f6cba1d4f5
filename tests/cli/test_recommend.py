"""`lrsearch recommend` and the client's method, against a running service."""

import pytest

from lrsearch import Client
from lrsearch.contract.jobs import Job
from lrsearch.contract.recommendations import Recommendation, RecommendationRequest
from tests.cli.conftest import Run

SIZES = ("--images-per-label", 10, "--labels", 5)


def test_sizes_are_answered_with_a_table_and_reasons(run: Run) -> None:
    done = run("recommend", *SIZES, "--protocol", "graduated", "--count", 3)

    assert done.exit_code == 0, done.output
    rows = [line.split()[:2] for line in done.output.splitlines() if line.lstrip()[:1].isdigit()]
    assert rows == [["1", "frozen"], ["2", "frozen"], ["3", "frozen"]]
    assert "From its sizes alone" in done.output
    assert "Most like it of the known tasks: " in done.output
    assert "head rate" in done.output


def test_json_is_what_the_client_gets(run: Run, client: Client) -> None:
    printed = run("recommend", *SIZES, "--epochs", 7, "--json").stdout

    request = RecommendationRequest(images_per_label=10, labels=5, recipe={"epochs": 7})
    assert Recommendation.model_validate_json(printed) == client.recommend(request)


def test_a_job_is_recommended_for_by_what_its_probe_found(run: Run, complete_job: Job) -> None:
    done = run("recommend", complete_job.id)

    assert done.exit_code == 0, done.output
    assert "From the probe of the task" in done.output
    as_job = Recommendation.model_validate_json(run("recommend", complete_job.id, "--json").stdout)
    longer = run("recommend", complete_job.id, "--epochs", complete_job.request.recipe.epochs * 2)
    assert longer.exit_code == 0
    again = run("recommend", complete_job.id, "--batch-size", 32, "--json").stdout
    assert Recommendation.model_validate_json(again) == as_job


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend"], "Name a job that was probed"),
        (["recommend", "--labels", "3"], "--images-per-label and --labels"),
        (["recommend", *SIZES, "--count", "99"], "count"),
        (["recommend", "unheard-of"], "There is no job 'unheard-of'"),
    ],
)
def test_mistakes_are_explained(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)

    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
