#!/bin/sh
# Puts npm's onnxruntime-web where the tests look for it, without its dependencies: the page needs none of them.
set -eu
package=onnxruntime-web
version=1.22.0
sha256=e293551f9d36d003e293d0f2937fee7b3dfdcef76d71d1449b55e2d4157c7aea
cd "$(dirname "$0")/.."
target=node_modules/$package
grep -qs "\"version\": \"$version\"" "$target/package.json" && exit 0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && timeout 120 npm pack --silent "$package@$version" >/dev/null)
echo "$sha256  $folder/$package-$version.tgz" | sha256sum --check --quiet -
mkdir "$folder/$package"
tar --extract --gzip --file "$folder/$package-$version.tgz" --strip-components 1 --directory "$folder/$package" \
    package/package.json package/dist/ort.wasm.min.js package/dist/ort-wasm-simd-threaded.mjs \
    package/dist/ort-wasm-simd-threaded.wasm
rm -rf "$target"
mkdir -p node_modules
mv "$folder/$package" "$target"
