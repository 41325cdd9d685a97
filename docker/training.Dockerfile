# The training programs: docker compose run --rm training train-all
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY uv.txt constraints.txt ./
RUN python -m venv /uv && /uv/bin/pip install --quiet --require-hashes -r uv.txt && /uv/bin/uv venv --quiet /app
RUN /uv/bin/uv pip install --quiet --python /app/bin/python --compile-bytecode --constraint constraints.txt tensorflow
COPY serving/protocol serving/protocol
COPY serving/models serving/models
COPY training training
RUN /uv/bin/uv pip install --quiet --python /app/bin/python --compile-bytecode \
      --constraint constraints.txt --build-constraint constraints.txt ./serving/protocol ./serving/models ./training

FROM ${PYTHON_IMAGE}
COPY --from=build /app /app
# /cache has downloaded data and weights, and matplotlib's files; a volume keeps it.
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/cache KERAS_HOME=/cache/keras MPLCONFIGDIR=/cache/matplotlib
RUN mkdir -m 777 /cache && mkdir /keraserve
WORKDIR /keraserve
USER 10001:10001
VOLUME /cache
ENTRYPOINT ["keraserve-train"]
CMD ["list"]
