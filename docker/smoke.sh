#!/usr/bin/env bash
# The deployed set-up, for real: builds it, starts it, runs a short job with curl alone, checks what
# comes of it and removes everything but the images. Needs Docker with Compose, curl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
export LRSEARCH_PORT=0 # a free one

project=lrsearch-smoke # never that of a deployment: its volumes are removed
scratch=$(mktemp -d)
key=""

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

compose() { docker compose --project-name "$project" --file docker/compose.yaml "$@"; }

# api PATH [OPTION...]: a request's reply; a refusal's goes to standard error.
api() {
    local path=$1 reply
    shift
    reply=$(curl --silent --show-error --fail-with-body --max-time 120 \
        --header "Authorization: Bearer $key" "$@" "$url$path") ||
        { printf '%s: %s\n' "$path" "$reply" >&2; return 1; }
    printf '%s\n' "$reply"
}

# pick EXPRESSION: a Python expression on the JSON document `it` of standard input.
pick() { python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

# await PATH EXPRESSION: asks until it is true of the reply, for a minute.
await() {
    for _ in $(seq 60); do
        [ "$(api "$1" | pick "$2")" != True ] || return 0
        sleep 1
    done
    say "After a minute it is not yet so that $2:"
    api "$1"
    return 1
}

finish() {
    local status=$?
    if [ "$status" != 0 ]; then
        say "FAILED; the last of the logs:"
        compose ps --all || true
        compose logs --no-color --tail 40 || true
    fi
    compose down --volumes --remove-orphans --timeout 10 >"$scratch/down" 2>&1 || cat "$scratch/down"
    rm -r "$scratch"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say "Building the images"
compose down --volumes --remove-orphans >"$scratch/down" 2>&1 # what a run that was cut off left
compose build --quiet

say "Built; starting"
SECONDS=0
compose up --detach --wait --quiet-pull 2>"$scratch/up" || { cat "$scratch/up"; exit 1; }
url=http://$(compose port service 8000)
say "All are healthy; the service is at $url"

code=$(curl --silent --output "$scratch/refusal" --write-out '%{http_code}' "$url/v1/jobs")
[ "$code" = 401 ] || { say "Without a key the service answered $code"; exit 1; }
key=$(compose exec -T service lrsearch keys create smoke --scope read --scope submit 2>"$scratch/key")
api "/v1/datasets?name=silhouettes" --request POST \
    --upload-file service/lrsearch/samples/silhouettes.zip >"$scratch/data-set"
await /v1/datasets/silhouettes 'it["state"] == "ready"'
other=$(compose exec -T service lrsearch keys create other 2>"$scratch/key")
code=$(curl --silent --output "$scratch/refusal" --write-out '%{http_code}' \
    --header "Authorization: Bearer $other" "$url/v1/datasets/silhouettes")
[ "$code" = 404 ] || { say "Another owner's data set was answered with $code"; exit 1; }
say "The data set is ready, for its owner alone"
await /v1/workers 'len(it["items"]) > 0'
say "The worker has registered"

source_model=$(api /v1/source-models | pick 'max(
    (model["name"] for model in it["items"] if model["state"] == "ready"),
    key=lambda name: name == "general",
)')
job=$(api /v1/jobs --header "Content-Type: application/json" --data '{
    "data_set": "silhouettes", "source_model": "'"$source_model"'", "images_per_label": 10,
    "protocol": {"name": "graduated", "scale": [1, 2, 4]}, "recipe": {"epochs": 2}
}' | pick 'it["id"]')
say "Submitted job $job from source model $source_model; its events:"
curl --silent --show-error --fail --no-buffer --max-time 600 --header "Authorization: Bearer $key" \
    "$url/v1/jobs/$job/events" | sed --unbuffered --quiet 's/^data: .*"body":\(.*\)}.*$/\1/p' |
    while read -r event; do say "  $event"; done

api "/v1/jobs/$job/result" >"$scratch/result"
curl --silent --show-error --fail --max-time 120 --header "Authorization: Bearer $key" \
    --output "$scratch/winner.safetensors" "$url/v1/jobs/$job/weights"
printf '%s  %s\n' "$(pick 'it["weights_sha256"]' <"$scratch/result")" "$scratch/winner.safetensors" |
    sha256sum --check --quiet
say "Fetched the winner's weights: $(stat --format %s "$scratch/winner.safetensors") bytes, as addressed"

compose stop worker 2>"$scratch/stop"
code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps --all --quiet worker)")
[ "$code" = 0 ] || { say "The worker was told to stop and ended with $code"; exit 1; }
say "The worker stopped when it was told to"
say "Verdict: $(pick 'it["verdict"]' <"$scratch/result")"
