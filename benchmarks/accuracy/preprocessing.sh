#!/bin/sh
# What each preprocessing key is worth to `small`: four arms, three seeds, seed by seed.
#
#     sh benchmarks/accuracy/preprocessing.sh DIR SPLIT OUT
#     python benchmarks/accuracy/preprocessing.py OUT
#
# The test part is not read. Runs that are finished are not repeated; one that was stopped goes on.
set -eu
data=$1 split=$2 out=$3
export OMP_NUM_THREADS=1
mkdir -p "$out"

job() { # name, seed, then options of `train`
    run="$out/$1-s$2" seed=$2
    shift 2
    [ -f "$run/predictions-cal.csv" ] && return
    [ -d "$run" ] && resume=--resume || resume=
    python -m lesionwise train small --set epochs=20 "$@" \
        --data "$data" --split "$split" --seed "$seed" --out "$run" --quiet $resume
}

for seed in 0 1 2; do
    job none "$seed"
    job color_constancy "$seed" --set color_constancy=true
    job field_of_view "$seed" --set field_of_view=true
    job hair_removal "$seed" --set hair_removal=true
done
