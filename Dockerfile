# syntax=docker/dockerfile:1
FROM docker.io/library/python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/venv
# A layer of its own: it changes with the requirements only.
COPY requirements.txt .
# More packages, such as "apprise celery>=5.7"
ARG EXTRAS=
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt $EXTRAS
COPY pyproject.toml README.md downloader_main.py ./
COPY downloader downloader
COPY portal portal
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps . \
 && /opt/venv/bin/pip uninstall --yes pip

FROM docker.io/library/python:3.13-slim
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY packaging/entrypoint.sh /usr/local/bin/entrypoint
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 DOWNLOADER_STORAGE_DIR=/storage
# Any user may own what is in the volume, see PUID.
RUN mkdir --mode=0777 /storage
VOLUME /storage
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
  CMD ["python", "-S", "-c", "import http.client, os, sys; server = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('DOWNLOADER_PORT') or 8000), timeout=4); server.request('GET', '/healthz'); sys.exit(server.getresponse().status != 200)"]
ENTRYPOINT ["entrypoint"]
CMD ["serve"]
