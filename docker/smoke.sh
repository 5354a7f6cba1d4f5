#!/usr/bin/env bash
# The deployed set-up, for real: builds it, starts it with two replicas of the service and two
# workers, runs a short job with curl alone, then one during which a worker and a replica are killed
# and the database restarted, checks what comes of both and removes everything but the images. Needs
# Docker with Compose, curl and python3.
set -euo pipefail
cd "$(dirname "$0")/.."
export LRSEARCH_PORT=0 # a free one

project=lrsearch-smoke # never that of a deployment: its volumes are removed
scratch=$(mktemp -d)
key=""

say() { printf '[%4d s] %s\n' "$SECONDS" "$*"; }

compose() {
    docker compose --project-name "$project" --file docker/compose.yaml --profile cpu "$@"
}

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

# await PATH EXPRESSION: asks until it is true of the reply, for five minutes, for the processors may
# have other work.
await() {
    local end=$((SECONDS + 300))
    while [ "$SECONDS" -lt "$end" ]; do
        [ "$(api "$1" 2>"$scratch/await" | pick "$2" 2>&1)" != True ] || return 0
        sleep 0.5
    done
    say "After five minutes it is not yet so that $2:"
    api "$1"
    return 1
}

# submit EPOCHS SCALES: the id of a new job.
submit() {
    api /v1/jobs --header "Content-Type: application/json" --data '{
        "data_set": "silhouettes", "source_model": "general", "images_per_label": 10,
        "protocol": {"name": "graduated", "scale": '"$2"'}, "strategy": "exhaustive",
        "recipe": {"epochs": '"$1"'}
    }' | pick 'it["id"]'
}

# events JOB: what happens to it, a JSON document a line, until it ends.
events() {
    curl --silent --show-error --fail --no-buffer --max-time 600 \
        --header "Authorization: Bearer $key" "$url/v1/jobs/$1/events" |
        sed --unbuffered --quiet 's/^data: //p'
}

# crash CONTAINER: kills all that runs in it, from inside: it is then started again, which it is not
# where Docker was told to kill it.
crash() { docker exec "$1" sh -c 'kill -s KILL -- -1' 2>"$scratch/kill" || true; }

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

for image in service gateway; do
    size=$(docker image inspect --format '{{.Size}}' "lrsearch-$image")
    say "Built; the image of the $image has $((size / 1000000)) MB"
done
SECONDS=0
compose up --detach --wait --quiet-pull --scale service=2 --scale worker=2 2>"$scratch/up" ||
    { cat "$scratch/up"; exit 1; }
url=http://$(compose port gateway 8000)
say "All are healthy; the service is at $url"

forged=192.0.2.7
code=$(curl --silent --output "$scratch/refusal" --write-out '%{http_code}' \
    --header "X-Forwarded-For: $forged" "$url/v1/jobs")
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
await /v1/workers 'len(it["items"]) == 2'
say "Both workers have registered"

job=$(submit 2 '[1, 2, 4]')
say "Submitted job $job; its events:"
first=""
while read -r event; do
    case $event in
    *'"type":"trial_finished"'*) first=${first:-$SECONDS} ;;
    esac
    say "  $(pick 'json.dumps(it["body"])' <<<"$event")"
done < <(events "$job")
say "The first accepted result came $first s after \`up\`"

api "/v1/jobs/$job/result" >"$scratch/result"
curl --silent --show-error --fail --max-time 120 --header "Authorization: Bearer $key" \
    --output "$scratch/winner.safetensors" "$url/v1/jobs/$job/weights"
printf '%s  %s\n' "$(pick 'it["weights_sha256"]' <"$scratch/result")" "$scratch/winner.safetensors" |
    sha256sum --check --quiet
say "Fetched the winner's weights: $(stat --format %s "$scratch/winner.safetensors") bytes, as addressed"
say "Verdict: $(pick 'it["verdict"]' <"$scratch/result")"

job=$(submit 40 '[0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10]')
say "Submitted job $job"
running='[trial["worker"] for trial in it["items"] if trial["state"] == "running" and trial["number"]]'
await "/v1/jobs/$job/trials" "len($running) > 0"
worker=$(api "/v1/jobs/$job/trials" | pick "$running[0]") # by the name of its container
crash "$worker"
say "Killed a worker in the midst of its trials"
read -r replica < <(compose ps --quiet service)
crash "$replica"
for _ in {1..20}; do # at once: what only reads is tried again where the replica dies over it
    api "/v1/jobs/$job" >"$scratch/job"
done
for _ in {1..20}; do
    api /v1/recommendations --json '{"images_per_label": 20, "labels": 10}' >"$scratch/recommended"
done
say "Killed a replica; the other one answered for it, every time"
compose restart db 2>"$scratch/restart"
say "Restarted the database"
await "/v1/jobs/$job" 'it["state"] not in ("waiting", "running", "finalising")'
api "/v1/jobs/$job" >"$scratch/job"
[ "$(pick 'it["state"]' <"$scratch/job")" = complete ] || { cat "$scratch/job"; exit 1; }
events "$job" | python3 -c '
import collections, json, sys
bodies = [json.loads(line)["body"] for line in sys.stdin]
ended = [body for body in bodies if body["type"] == "trial_finished"]
assert all(body["state"] == "complete" for body in ended), ended
counts = collections.Counter(body["trial"] for body in ended)
assert set(range(12)) <= set(counts) and set(counts.values()) == {1}, counts
put_back = {body["trial"] for body in bodies if body["type"] == "trial_put_back"}
assert put_back, "the killed worker had no trial"
print(f"of {len(ended)} trials, trials {sorted(put_back)} were lost with a worker and run again")
' >"$scratch/trials"
say "Each trial has one result; $(cat "$scratch/trials")"

[ "$(docker inspect --format '{{.RestartCount}} {{.State.Status}}' "$replica")" = "1 running" ]
say "The replica was started again"

compose exec -T db cat /run/database/password >"$scratch/password"
[ "$(wc --bytes <"$scratch/password")" -gt 30 ]
{ compose ps --all --quiet | xargs docker inspect; compose logs --no-color; } >"$scratch/seen"
! grep --quiet --fixed-strings --file="$scratch/password" "$scratch/seen" ||
    { say "The database's password can be seen"; exit 1; }
say "The database's password is in no container's environment and in no log"
grep --quiet '"code": "unauthenticated".*"address"' "$scratch/seen"
! grep --quiet --fixed-strings "$forged" "$scratch/seen" ||
    { say "A client's own word on its address was believed"; exit 1; }
say "A client's own word on its address is not believed"

compose stop worker 2>"$scratch/stop"
for container in $(compose ps --all --quiet worker); do
    code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
    [ "$code" = 0 ] || { say "A worker was told to stop and ended with $code"; exit 1; }
done
say "The workers stopped when they were told to"
