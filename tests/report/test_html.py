import re
from html.parser import HTMLParser

from lrsearch.contract.datasets import Spread
from lrsearch.contract.probes import StageRatios
from lrsearch.contract.trials import Trial
from lrsearch.report.html import page
from lrsearch.report.job_report import JobReport
from tests.probes import a_probe
from tests.report.outcomes import a_confirmed_report, a_data_set, a_job, a_report

_HOSTILE = '<img src=x onerror="alert(1)">'


def text_of(report: JobReport) -> str:
    """What a reader sees of a page, in one line."""
    without_scripts = re.sub(r"<(script|style)>.*?</\1>", "", page(report), flags=re.DOTALL)
    parser = _Text()
    parser.feed(without_scripts)
    return " ".join(" ".join(parser.parts).split())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def test_the_page_says_what_came_of_the_job() -> None:
    text = text_of(a_report())

    assert "The rates found beat the usual practice by 23.6 points." in text
    assert "winner · scale 2.5 77.3 % test top-1, 95 % interval 72.3 % to 81.3 %" in text
    assert "baseline 53.7 % test top-1, 95 % interval 48.7 % to 57.7 %" in text
    assert "gain over the baseline +23.6 points p < 0.001 (McNemar’s exact test)" in text
    assert "11.0 finetunes 12 trials, 55 epochs, 1 min 12 s of a worker" in text
    assert "Top-1 accuracy on 300 test images" in text


def test_every_trial_stands_in_the_table_with_its_rates_and_the_best_first() -> None:
    text = text_of(a_report())

    assert "6 scale 2.5 winner frozen 0.0025 0.005 0.01 0.02 0.04 81.0 % 0.190 6.0 s" in text
    assert "11 scale 10 frozen 0.01 0.02 0.04 0.08 0.16 diverged: the loss was NaN" in text
    assert text.index("6 scale 2.5 winner") < text.index("7 scale 3 frozen")
    assert "0 baseline frozen frozen frozen frozen frozen 0.01 55.0 %" in text


def test_the_winners_second_seed_has_a_tile_and_a_row() -> None:
    text = text_of(a_confirmed_report())

    assert (
        "winner with a second seed 78.0 % validation top-1, -3.0 points from the first seed; "
        "within chance on 240 images"
    ) in text
    assert "12 scale 2.5, second seed frozen 0.0025 0.005 0.01 0.02 0.04 78.0 %" in text


def test_a_second_seed_that_diverged_has_a_row_alone() -> None:
    text = text_of(a_confirmed_report(None))

    assert "winner with a second seed" not in text
    assert "12 scale 2.5, second seed frozen 0.0025 0.005 0.01 0.02 0.04 diverged" in text


def test_recipe_and_data_set_are_described() -> None:
    text = text_of(a_report())

    assert "epochs 5 batch size 32 schedule step" in text
    assert "420 images (390 distinct) 3 labels 28–64 × 28–64 pixels" in text
    assert "cat 150 dog 140 horse 130" in text


def test_what_the_probe_found_stands_in_two_tables() -> None:
    text = text_of(a_report())

    assert "resnet27 at 32 px 30 3 10 33.3 % 60.0 % 70.0 % 1.09 → 0.80" in text
    assert "weights 1,000 9,000 55,000 440,000 880,000 387" in text
    assert "gradient / weights 0.09 0.06 0.05 0.04 0.01 0.2" in text


def test_a_probe_without_some_figures_has_dashes_and_a_job_without_one_no_table() -> None:
    found = a_probe(
        knn_top1=None,
        linear_top1=None,
        head_losses=[],
        images_per_label=Spread(min=1, median=2, max=5),
        gradient_ratios=StageRatios(
            conv1=None, conv2=0.06, conv3=0.05, conv4=0.04, conv5=0.01, head=0.2
        ),
    )

    text = text_of(a_report(job=a_job(probe=found)))

    assert "30 3 1–5 33.3 % – – –" in text
    assert "gradient / weights – 0.06" in text
    assert "before any finetune" not in text_of(a_report(job=a_job(probe=None)))


def test_users_text_is_escaped() -> None:
    trials = a_report().trials
    failed = trials[1].model_copy(update={"state": "failed", "val_top1": None, "reason": _HOSTILE})
    report = a_report(
        data_set=a_data_set(labels=[_HOSTILE, "</script>"]),
        trials=[trials[0], failed, *trials[2:]],
    )

    html = page(report)

    assert _HOSTILE not in html
    assert "<script></script>" not in html
    assert _HOSTILE in text_of(report)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    html = page(a_report())
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)

    assert "plotly.js v" in html
    assert not re.search(r"(src|href)\s*=", outside)
    assert not re.search(r"<script[^>]+src=", html)
    assert "@import" not in html


def test_a_result_on_the_validation_split_alone_claims_no_test() -> None:
    report = a_report()
    assert report.result is not None
    assert report.result.baseline is not None
    untested = {"test_top1": None, "test_interval": None}
    result = report.result.model_copy(
        update={
            "evaluation": "validation_only",
            "winner": report.result.winner.model_copy(update=untested),
            "baseline": report.result.baseline.model_copy(update=untested),
            "gain_p_value": None,
        }
    )

    text = text_of(a_report(result=result))

    assert "81.0 % validation top-1; too few images to test" in text
    assert "+23.6 points on the validation split" in text
    assert "test split" not in text


def test_a_job_under_way_has_a_page_that_says_so() -> None:
    job = a_job(state="running", finished_at=None)
    trials: list[Trial] = a_report().trials[:2]

    text = text_of(a_report(job=job, trials=trials, result=None))

    assert "The job has not ended yet: running" in text
    assert "scale 0.25" in text


def test_a_failed_job_has_a_page_that_says_why() -> None:
    job = a_job(state="failed", reason="every trial diverged")

    text = text_of(a_report(job=job, trials=[], result=None))

    assert "The job has ended without a result: failed (every trial diverged)" in text


def test_the_document_for_programs_reads_back_as_it_was() -> None:
    report = a_report()

    assert JobReport.model_validate_json(report.to_json()) == report
