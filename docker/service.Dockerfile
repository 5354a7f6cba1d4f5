# The service, without torch. Build it at the top of the checkout:
#   docker build -f docker/service.Dockerfile -t lrsearch-service .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS requirements
WORKDIR /src
COPY pyproject.toml docker/requirements.py ./
RUN python requirements.py service > /requirements.txt

FROM ${PYTHON_IMAGE}
ENV PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONUNBUFFERED=1
# The worker's image has the same user: the two share a volume with a key in it.
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin lrsearch \
    && install -d -o lrsearch -g lrsearch -m 700 /var/lib/lrsearch /run/lrsearch
RUN --mount=type=bind,from=requirements,source=/requirements.txt,target=/tmp/requirements.txt \
    --mount=type=bind,source=constraints.txt,target=/tmp/constraints.txt \
    pip install -c /tmp/constraints.txt -r /tmp/requirements.txt
# Alone in its layer: a change of the code installs nothing else anew.
RUN --mount=type=bind,target=/src,rw pip install --no-deps /src

USER lrsearch
ENV LRSEARCH_HOST=0.0.0.0 LRSEARCH_PORT=8000 LRSEARCH_DATA_DIR=/var/lib/lrsearch
VOLUME /var/lib/lrsearch
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s CMD \
    ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8000, timeout=4); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
CMD ["lrsearch", "serve"]
