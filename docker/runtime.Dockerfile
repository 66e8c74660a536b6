# The bot runtime and the Alpaca simulator: `tradingbot run ...`, `alpaca-simulator serve ...`. Holds no pip, needs no
# shell, no root, and no writable file system but the state volume.
# Build: docker|podman|buildah build -f docker/runtime.Dockerfile -t tradingbot-runtime:dev .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS dependencies
COPY requirements/build.lock /src/requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r /src/requirements/build.lock
COPY requirements/runtime.lock /src/requirements/
# The bytecode is made here, for the root file system is read-only later; it is never checked against the sources.
RUN python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python3 install --quiet --no-cache-dir --no-compile --require-hashes \
      -r /src/requirements/runtime.lock \
 && /opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

FROM dependencies AS research
COPY requirements/parquet.lock /src/requirements/
# Beside what a bot imports: pandas takes it up wherever it finds it, and a bot would pay 34 MB for it.
RUN /opt/build/bin/pip --python /opt/venv/bin/python3 install --quiet --no-cache-dir --no-compile --require-hashes \
      --target /opt/research -r /src/requirements/parquet.lock \
 && rm -rf /opt/research/pyarrow/include /opt/research/pyarrow/tests /opt/research/pyarrow/src \
 && /opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/research

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE /src/
COPY operator /src/operator
COPY bot_runtime /src/bot_runtime
# Beside the venv, so that a change of the code is a small layer of its own.
RUN /opt/build/bin/pip wheel --quiet --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist /src \
 && /opt/build/bin/pip --python /opt/venv/bin/python3 install --quiet --no-cache-dir --no-compile --no-deps \
      --ignore-installed --prefix /opt/project /dist/*.whl \
 && /opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /opt/project -p /opt/venv \
      /opt/project/lib

FROM ${PYTHON_IMAGE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="tradingbot-runtime" \
      org.opencontainers.image.description="Runs one trading bot; also the Alpaca simulator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LOGNAME=nonroot \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TRADINGBOT_RESEARCH_PATH=/opt/research
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=research /opt/research /opt/research
COPY --from=project /opt/project /opt/venv
USER 65532:65532
ENTRYPOINT ["tradingbot"]
CMD ["--help"]
