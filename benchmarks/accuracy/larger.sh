#!/bin/sh
# `larger` from its recipes: two trainings, their mean, calibrated, in one bundle.
#
#     sh benchmarks/accuracy/larger.sh DATA OUT MOBILENET.safetensors LITE2.safetensors [--set key=value …]
#
# What follows the first weights goes to both trainings, such as --set compile=true or --device cuda. SPLIT
# names another split than that of the published numbers. A training that was stopped goes on where it was.
set -eu
data=$1 out=$2 mobilenet=$3 lite=$4
shift 4
split=${SPLIT:-benchmarks/reference_split.csv}

lesionwise train best --data "$data" --split "$split" --seed 0 --out "$out/best" --resume \
    --set blur=0 --set "weights=$mobilenet" "$@"
lesionwise train large --data "$data" --split "$split" --seed 0 --out "$out/large" --resume \
    --set "weights=$lite" "$@"
[ -e "$out/best-480" ] || lesionwise evaluate "$out/best" --set 'image_size=[360, 480]' --out "$out/best-480"
[ -e "$out/larger" ] || lesionwise ensemble "$out/best-480" "$out/large" --out "$out/larger"
lesionwise calibrate "$out/larger" --scaling temperature
lesionwise bundle export "$out/larger" --precision fp16 --name larger --licence "CC BY-NC 4.0" --out "$out/larger.onnx"
