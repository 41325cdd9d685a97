"""The gRPC port: TensorFlow Serving's two services, and the health service."""
