"""What the prior recommends as one page: the figure, and the same in words and numbers."""

from datetime import UTC, datetime

from lrsearch.report.html import embed, environment, shared_parts
from lrsearch.report.prior_figure import scales_figure
from lrsearch.search.prior.prior import Prior
from lrsearch.search.prior.scales import IMAGES, MARKS, measured_scales, scale_lines


def prior_page(prior: Prior) -> str:
    """The page as an HTML document that needs nothing else; names in it are escaped."""
    lines, measured = scale_lines(prior), measured_scales(prior.evidence)
    places = [IMAGES.index(images) for images in MARKS]
    return (
        environment()
        .get_template("prior.html.j2")
        .render(
            version=prior.version,
            tasks=len(prior.evidence.names),
            finetunes=len(prior.evidence.values),
            lines=lines,
            rows=[
                (IMAGES[place], [(it.best[place], it.low[place], it.high[place]) for it in lines])
                for place in places
            ],
            measured=sorted(measured, key=lambda it: (it.domain, it.images_per_label, it.task)),
            figure=embed(scales_figure(lines, measured), "scales"),
            written_at=datetime.now(UTC),
            **shared_parts(),
        )
    )
