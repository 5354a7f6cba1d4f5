# The worker, without a database driver. Build it at the top of the checkout:
#   docker build -f docker/worker.Dockerfile -t lrsearch-worker .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS requirements
WORKDIR /src
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py worker timm > /requirements.txt

FROM ${PYTHON_IMAGE}
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1
# The service's image has the same user: the two share a volume with a key in it.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin lrsearch \
    && install -d -o lrsearch -g lrsearch -m 700 /var/lib/lrsearch-worker /run/lrsearch
# An index besides pip's own, such as PyTorch's for CPU builds; without one, torch comes with CUDA.
ARG TORCH_INDEX_URL=
RUN --mount=type=bind,from=requirements,source=/requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    pip install -c /tmp/constraints.txt ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
        -r /tmp/requirements.txt
# Alone in its layer: a change of the code installs nothing else anew.
RUN --mount=type=bind,target=/src,rw pip install --no-deps /src

USER lrsearch
ENV LRSEARCH_WORKER_DATA=/var/lib/lrsearch-worker \
    NUMBA_CACHE_DIR=/var/lib/lrsearch-worker/compiled
VOLUME /var/lib/lrsearch-worker
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD \
    ["sh", "-c", "grep --no-messages --quiet --line-regexp lrsearch-worker /proc/[0-9]*/comm"]
CMD ["lrsearch-worker", "run"]
