"""The commands against a running service."""

import json
import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from lrsearch import Client
from lrsearch.contract.datasets import DataSet
from lrsearch.contract.jobs import Job
from lrsearch.contract.sources import SourceModel
from lrsearch.report.job_report import JobReport
from tests.cli.conftest import Run
from tests.client.images import write_images
from tests.client.scripted_worker import ScriptedWorker


def test_a_folder_is_submitted_and_watched_to_its_result(
    run: Run, service_url: str, tmp_path: Path
) -> None:
    write_images(tmp_path / "shades", images=80)

    recipe = ("--epochs", 2, "--strategy", "exhaustive", "--scale", 1, "--scale", 2.5)
    with ScriptedWorker(service_url):
        done = run("submit", "shades", "--source", "random", *recipe, "--watch")

    assert done.exit_code == 0, done.output
    assert "Uploading shades as data set shades." in done.stderr
    assert "(scale 1) started on scripted" in done.output
    assert "task probed: 30 training images of 3 labels" in done.output
    assert "epoch 2/2: validation top-1 90.0 %" in done.output
    assert "job complete" in done.output
    row = next(line for line in done.output.splitlines() if line.startswith(" scale 2.5"))
    assert "90.0 %" in row
    assert "75.0 %" in row
    assert "winner" in row
    assert "+25.0 points of test top-1" in done.output


def test_the_same_folder_is_not_uploaded_twice(run: Run, client: Client, tmp_path: Path) -> None:
    write_images(tmp_path / "twice")
    options = ("--source", "random", "--name", "twice", "--json")

    first = Job.model_validate_json(run("submit", "twice", *options).stdout)
    second = Job.model_validate_json(run("submit", "twice", *options).stdout)

    assert first.id != second.id
    assert first.data_set_id == second.data_set_id
    assert [it.name for it in client.data_sets() if it.name.startswith("twice")] == ["twice"]


def test_a_winner_need_not_be_confirmed(run: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "once")
    options = ("--source", "random", "--json")

    asked = [run("submit", "once", *options, *more).stdout for more in ((), ("--no-confirm",))]

    assert [Job.model_validate_json(job).request.confirm for job in asked] == [True, False]


def test_another_folder_of_the_same_name_becomes_another_data_set(
    run: Run, client: Client, tmp_path: Path
) -> None:
    write_images(tmp_path / "here" / "changing", images=20)
    write_images(tmp_path / "there" / "changing", images=30)

    for folder in ("here", "there", "there"):
        done = run("submit", f"{folder}/changing", "--source", "random")
        assert done.exit_code == 0, done.output

    names = [it.name for it in client.data_sets() if it.name.startswith("changing")]
    assert len(names) == 2
    assert names[0].startswith("changing-")
    assert names[1] == "changing"


def test_the_jobs_are_listed(run: Run, complete_job: Job) -> None:
    done = run("jobs", "--state", "complete")

    assert complete_job.id in done.output
    assert "finished" in done.output
    assert "13/13" in done.output  # 11 scales, the baseline and the confirmation


def test_listing_commands_print_the_contracts_json(run: Run, complete_job: Job) -> None:
    jobs = TypeAdapter(list[Job]).validate_json(run("jobs", "--json").stdout)
    data_sets = TypeAdapter(list[DataSet]).validate_json(run("data", "list", "--json").stdout)
    models = TypeAdapter(list[SourceModel]).validate_json(run("models", "list", "--json").stdout)
    report = JobReport.model_validate_json(run("show", complete_job.id, "--json").stdout)

    assert complete_job in jobs
    assert "colours" in [it.name for it in data_sets]
    assert "random" in [it.name for it in models]
    assert report.job == complete_job
    assert [worker["name"] for worker in json.loads(run("workers", "--json").stdout)]


def test_a_job_is_shown_with_its_rates_and_its_result(run: Run, complete_job: Job) -> None:
    assert complete_job.name is not None
    text = run("show", complete_job.name).output

    assert "state         complete" in text
    assert "probe         30 training images of 3 labels" in text
    assert "frozen  0.0025  0.005  0.01  0.02  0.04" in " ".join(text.split()).replace(" ", "  ")
    assert "+25.0 points" in text


def test_the_logs_of_a_job_are_printed(run: Run, service_url: str, data_set: str) -> None:
    recipe = ("--epochs", 1, "--strategy", "exhaustive", "--scale", 1)
    with ScriptedWorker(service_url):
        run("submit", data_set, "--source", "random", "--name", "told", *recipe, "--watch")

    assert "info     epoch 1 of trial 1" in run("logs", "told", 1).output
    text = run("logs", "told").output
    assert "## trial 0, complete" in text
    assert "info     epoch 1 of trial 0" in text


def test_a_finished_job_can_be_watched_again(run: Run, complete_job: Job) -> None:
    done = run("watch", complete_job.id)

    assert done.exit_code == 0
    assert "job complete" in done.output


def test_a_cancelled_job_has_no_result_to_watch_for(run: Run, data_set: str) -> None:
    run("submit", data_set, "--source", "random", "--name", "dropped")

    assert "is cancelled" in run("cancel", "dropped").output
    watched = run("watch", "dropped")
    assert watched.exit_code == 1
    assert "no result" in watched.output


def test_weights_and_report_are_written_where_they_are_wanted(
    run: Run, complete_job: Job, tmp_path: Path
) -> None:
    assert run("weights", complete_job.id, "--out", "best.safetensors").exit_code == 0
    assert run("report", complete_job.id, "--html", "pages/report.html").exit_code == 0
    assert run("report", complete_job.id).exit_code == 0

    assert (tmp_path / "best.safetensors").read_bytes() == b"weights of trial 6"
    assert "+25.0" in (tmp_path / "pages" / "report.html").read_text()
    document = (tmp_path / "report.json").read_text()
    assert JobReport.model_validate_json(document).job == complete_job


def test_a_data_set_is_uploaded_and_shown(run: Run, tmp_path: Path) -> None:
    write_images(tmp_path / "shown", labels=3, images=5)

    uploaded = run("data", "upload", "shown", "--name", "three")
    shown = run("data", "show", "three")

    assert uploaded.exit_code == 0, uploaded.output
    assert "15 of 3 labels" in shown.output
    assert "label-2" in shown.output


def test_a_source_model_is_shown_with_its_network(run: Run) -> None:
    assert "resnet27" in run("models", "show", "random").output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["submit", "nowhere"], 2, "There is no folder or archive 'nowhere'"),
        (["submit"], 2, "Name a target"),
        (["submit", "colours", "--epochs", "0"], 2, "recipe.epochs: Input should be greater"),
        (["submit", "colours", "--source", "unheard-of"], 1, "unheard-of"),
        (["show", "unheard-of"], 2, "There is no job 'unheard-of'"),
        (["data", "show", "unheard-of"], 1, "there is no data set 'unheard-of'"),
        (["cancel", "01890a5d-ac96-774b-bcce-b302099a8057"], 1, "no job"),
        (["models", "register", "nowhere"], 2, "nowhere"),
    ],
)
def test_mistakes_are_explained_without_a_traceback(
    run: Run, data_set: str, arguments: list[str], code: int, message: str
) -> None:
    done = run(*arguments)

    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.output


def test_a_service_that_is_not_there_is_named_with_the_remedy(run: Run) -> None:
    done = run("--url", "http://127.0.0.1:9", "jobs")

    assert done.exit_code == 1
    assert "http://127.0.0.1:9 cannot be reached" in done.stderr
    assert "lrsearch up" in done.stderr


def test_a_job_is_paused_resumed_and_changed(run: Run, client: Client, data_set: str) -> None:
    run("submit", data_set, "--source", "random", "--name", "held", "--trials", 5)

    assert "is paused" in run("pause", "held").output
    assert "paused; it goes on with: lrsearch resume held" in run("show", "held").output
    assert "goes on" in run("resume", "held").output
    changed = run("change", "held", "--priority", 7, "--trials", 2)
    assert "has priority 7, budget: 2 trials." in changed.output
    job = next(client.jobs(name="held"))
    assert (job.paused, job.request.priority, job.request.budget.trials) == (False, 7, 2)
    run("cancel", "held")


def test_nothing_to_change_is_a_mistake(run: Run) -> None:
    done = run("change", "last")

    assert done.exit_code == 2
    assert "--priority" in done.stderr


def test_a_job_is_deleted_when_that_is_confirmed(run: Run, client: Client, data_set: str) -> None:
    run("submit", data_set, "--source", "random", "--name", "doomed")

    assert run("delete", "doomed").exit_code == 1  # nobody is there to say yes
    assert next(client.jobs(name="doomed"), None) is not None
    assert "is deleted" in run("delete", "doomed", "--yes").output
    assert next(client.jobs(name="doomed"), None) is None


def test_garbage_is_counted_then_removed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LRSEARCH_DATA_DIR", str(tmp_path / "data"))
    assert run("gc").exit_code == 2  # there is no database yet
    assert run("db", "upgrade").exit_code == 0
    left = tmp_path / "data" / "incoming" / "tmpabc"
    left.write_bytes(b"half an upload")
    os.utime(left, (0, 0))

    said = run("gc", "--dry-run").output
    assert "would be removed" in said
    assert left.exists()
    done = run("gc").output
    assert "files and unfinished uploads 1 14 B" in " ".join(done.split())
    assert not left.exists()
