#!/bin/sh
# One process beside two for the same global batch, with batch norm and dropout, on phantoms.
#   sh benchmarks/correctness/processes.sh OUT
set -e
out=$1
[ -d "$out/phantom" ] || lesionwise data phantom "$out/phantom" --lesions 40
for seed in 0 1; do
  for devices in 1 2; do
    run=$out/seed-$seed-$devices
    [ -f "$run/calibration.json" ] || lesionwise train phantom --data "$out/phantom" --out "$run" --device cpu --quiet \
      --devices $devices --seed $seed --set 'image_size=[48, 64]' --set 'train_size=[48, 48]' \
      --set 'eval_size=[48, 64]' --set epochs=8
    echo "seed $seed, $devices: $(tail -1 "$run/history.csv")"
  done
done
