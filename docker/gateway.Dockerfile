# HTTP and gRPC front. No TensorFlow, no compiler.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY uv.txt constraints.txt ./
RUN python -m venv /uv && /uv/bin/pip install --quiet --require-hashes -r uv.txt && /uv/bin/uv venv --quiet /app
COPY serving/protocol serving/protocol
COPY serving/gateway serving/gateway
RUN /uv/bin/uv pip install --quiet --python /app/bin/python --compile-bytecode \
      --constraint constraints.txt --build-constraint constraints.txt ./serving/protocol ./serving/gateway

FROM ${PYTHON_IMAGE}
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 KERASERVE_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8000 8500
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["keraserve-gateway"]
