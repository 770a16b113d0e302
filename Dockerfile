# glioseg for a CPU: `glioseg predict` and `glioseg serve`. docs/container.md says how to use it.

FROM python:3.13-slim-trixie AS build
WORKDIR /build
COPY requirements.lock pyproject.toml ./
# uv, and hatchling below, come from requirements.lock too; the hashes of all packages are checked.
RUN sed -n '/^uv==/,/[^\]$/p' requirements.lock > uv.lock \
    && pip install --no-cache-dir --require-hashes -r uv.lock
# TensorFlow's C++ headers, 290 MB, are for those who compile operations of their own.
RUN python -m venv --without-pip /opt/glioseg \
    && uv pip install --no-cache --python /opt/glioseg --compile-bytecode \
         --require-hashes --constraint requirements.lock -r pyproject.toml --extra serve \
    && rm -r /opt/glioseg/lib/python3*/site-packages/tensorflow/include
COPY README.md LICENSE ./
COPY src src
RUN uv build --no-cache --wheel --require-hashes --build-constraints requirements.lock --out-dir dist \
    && uv pip install --no-cache --python /opt/glioseg --compile-bytecode --no-deps dist/*.whl

FROM python:3.13-slim-trixie
COPY --from=build /opt/glioseg /opt/glioseg
# Keras keeps its settings in the home folder, which any user must be able to write (`docker run --user`).
ENV PATH="/opt/glioseg/bin:$PATH" HOME=/tmp
USER 1000:1000
WORKDIR /data
EXPOSE 8000
ENTRYPOINT ["glioseg"]
CMD ["--help"]
