# TensorFlow Serving's gRPC and REST APIs in one Python process, in place of tensorflow/serving.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY uv.txt constraints.txt ./
RUN python -m venv /uv && /uv/bin/pip install --quiet --require-hashes -r uv.txt && /uv/bin/uv venv --quiet /app
# TensorFlow is most of the image and changes seldom: in a layer before our own code.
RUN /uv/bin/uv pip install --quiet --python /app/bin/python --compile-bytecode --constraint constraints.txt tensorflow
COPY serving/protocol serving/protocol
COPY serving/embedded serving/embedded
RUN /uv/bin/uv pip install --quiet --python /app/bin/python --compile-bytecode \
      --constraint constraints.txt --build-constraint constraints.txt ./serving/protocol "./serving/embedded[openvino]"

FROM ${PYTHON_IMAGE}
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8500 8501
ENTRYPOINT ["keraserve-embedded", "--host=0.0.0.0"]
