# The operator: `tradingbot-operator run`. Holds no pip, needs no shell, no root and no writable file system.
# Build: docker|podman|buildah build -f docker/operator.Dockerfile -t tradingbot-operator:dev .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS dependencies
COPY requirements/build.lock /src/requirements/
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --no-cache-dir --require-hashes -r /src/requirements/build.lock
COPY requirements/operator.lock /src/requirements/
# The bytecode is made here, for the root file system is read-only later; it is never checked against the sources.
RUN python3 -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip --python /opt/venv/bin/python3 install --quiet --no-cache-dir --no-compile --require-hashes \
      -r /src/requirements/operator.lock \
 && /opt/venv/bin/python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib

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
LABEL org.opencontainers.image.title="tradingbot-operator" \
      org.opencontainers.image.description="Reconciles trading bots in Kubernetes; never trades, never reads broker keys" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    LOGNAME=nonroot \
    MALLOC_ARENA_MAX=2 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=project /opt/project /opt/venv
USER 65532:65532
ENTRYPOINT ["tradingbot-operator"]
CMD ["run"]
