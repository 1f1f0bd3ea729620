# The web service with a model; docs/deployment.md describes it.
#
#   docker build -t ocrsearch .
#   docker run --rm --read-only --cap-drop ALL -p 127.0.0.1:8000:8000 \
#     -v "$PWD/model.onnx:/model/model.onnx:ro" ocrsearch
#
# The wheel of the light reader must be in dist/.
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1

COPY dist/ocrsearch_light-*.whl /tmp/
RUN pip install "$(echo /tmp/ocrsearch_light-*.whl)[serve]" && rm /tmp/*.whl

USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", \
  "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["ocrsearch"]
CMD ["serve", "/model/model.onnx", "--host", "0.0.0.0", "--port", "8000"]
