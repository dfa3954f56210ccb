#!/bin/sh
# The seeds' recipes under a lesion split, an image split and, where the notebooks resample, their own leak.
#
#     sh benchmarks/accuracy/seeds.sh DIR SPLIT OUT
#
# Each run is evaluated on its own test part, once. Runs that are finished are not repeated.
set -eu
data=$1 split=$2 out=$3

job() { # name, then options of `train`
    name=$1
    shift
    [ -f "$out/$name/report.html" ] && return
    [ -d "$out/$name" ] && resume=--resume || resume=
    lesionwise train "$@" --data "$data" --out "$out/$name" --quiet $resume
    lesionwise evaluate "$out/$name" --quiet >/dev/null
    lesionwise evaluate "$out/$name" --final --quiet
    lesionwise report "$out/$name" >/dev/null
}

for recipe in seed-mlp seed-cnn-256 seed-cnn; do
    job "$recipe-lesion" "$recipe" --split "$split"
    job "$recipe-image" "$recipe" --by image
done
for recipe in seed-mlp seed-cnn-256; do
    job "$recipe-resampled" "$recipe" --set defect_resample_before_split=500
done
