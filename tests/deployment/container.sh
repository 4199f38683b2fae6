#!/usr/bin/env bash
# containers/Dockerfile, built, and the small workflow run in it: its table is that of a run outside, bit for bit.
#
# Needs root, Debian, its packages buildah and debootstrap (installed here) and 25 GB. No registry of images is asked:
# Debian 12 with its own Python 3.11 stands for the recipe's base image.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "skipped: needs root and Debian"
  exit 0
fi
{ command -v buildah && command -v debootstrap; } >/dev/null || {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends buildah debootstrap
}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
images() { buildah --root "$place/images" --runroot "$place/run" --storage-driver vfs "$@"; }
small=(--configfile tests/faults/small.yaml -- results/tables/faults.csv)

debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip bookworm "$place/debian" >"$place/log"
rm "$place/debian/usr/lib/python3.11/EXTERNALLY-MANAGED" # as the real base, this Python is nobody else's
ln -s /usr/bin/python3 "$place/debian/usr/local/bin/python"
cp /etc/ssl/certs/ca-certificates.crt "$place/debian/etc/ssl/certs/" # also those of a proxy
base=$(images from scratch)
images add "$base" "$place/debian" / >>"$place/log"
images config --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt "$base"
images commit --quiet --rm "$base" docker.io/library/python:3.11-slim-bookworm >>"$place/log"

cache=$(mkdir -p ~/.cache/uv && cd ~/.cache/uv && pwd)
images bud --isolation chroot --pull-never --volume "$cache:/root/.cache/uv" --tag tsp \
  --file "$repository/containers/Dockerfile" "$repository" >>"$place/log" 2>&1 || { tail -n 30 "$place/log"; exit 1; }
echo "built: containers/Dockerfile"

for name in inside outside; do git clone --quiet "$repository" "$place/$name"; done
image=$(images from --pull-never localhost/tsp)
images run --isolation chroot --volume "$place/inside:/work" "$image" -- snakemake --cores 1 "${small[@]}" \
  >>"$place/log" 2>&1 || { tail -n 30 "$place/log"; exit 1; }
(cd "$place/outside" && snakemake --cores 1 "${small[@]}" >>"$place/log" 2>&1) || { tail -n 30 "$place/log"; exit 1; }
cmp "$place/inside/results/tables/faults.csv" "$place/outside/results/tables/faults.csv"
echo "run in it: from videos to the same table, bit for bit"
