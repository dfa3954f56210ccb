# The service with the model that ships: base install only, no compiler, no network at run time.
#
#   docker build -t lesionwise .          (or: podman build, buildah build)
#   docker run --rm --read-only --cap-drop ALL -p 127.0.0.1:8000:8000 lesionwise
#
# BASE is any image of Debian 12. EXTRAS adds extras: --build-arg EXTRAS=[heif] reads the photographs of iPhones.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
ARG EXTRAS=
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE /source/
COPY src /source/src
RUN python3 -m venv /opt/lesionwise \
 && /opt/lesionwise/bin/pip install --no-cache-dir --upgrade pip \
 && /opt/lesionwise/bin/pip install --no-cache-dir --constraint /source/constraints.txt "/source${EXTRAS}"
# Bundles run on the CPU: what OpenVINO brings for other devices and other kinds of files is left out.
RUN cd /opt/lesionwise/lib/python3*/site-packages \
 && rm -rf openvino/libs/libopenvino_intel_[gn]pu_plugin.so openvino/libs/cache.json openvino/tools \
           openvino/libs/libopenvino_*pytorch_frontend* openvino/libs/libopenvino_tensorflow*_frontend* \
           openvino/libs/libopenvino_paddle_frontend* openvino/libs/libopenvino_jax_frontend* \
           openvino/libs/libopenvino_gguf_frontend* \
 && /opt/lesionwise/bin/pip uninstall -y --quiet pip setuptools \
 && find . -depth -type d \( -name tests -o -name __pycache__ \) -exec rm -rf {} + \
 && /opt/lesionwise/bin/python -m compileall -q -j 0 . \
 && /opt/lesionwise/bin/lesionwise --version

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /usr/share/doc/* /usr/share/locale/*
COPY --from=build /opt/lesionwise /opt/lesionwise
ENV PATH=/opt/lesionwise/bin:$PATH HOME=/nonexistent PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["lesionwise", "serve", "--host", "0.0.0.0"]
