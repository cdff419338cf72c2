# The hub as an image. docker-compose.yml runs each of its programs from it; alone it runs the whole hub, with its own
# PostgreSQL and Redis in the volume: docker run --init --publish 127.0.0.1:8000:8000 --volume taskhub:/var/lib/taskhub taskhub
FROM python:3.11-slim AS build
# docker build --build-arg CHROME=yes: with Chromium, for rendered pages
ARG CHROME=""
# docker build --build-arg OTEL=yes: with what sends traces
ARG OTEL=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements.txt requirements-chrome.txt requirements-otel.txt /tmp/
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: --requirement /tmp/requirements${CHROME:+-chrome}.txt
RUN if [ -n "$OTEL" ]; then \
    /opt/venv/bin/pip install --require-hashes --only-binary :all: --requirement /tmp/requirements-otel.txt; fi

FROM python:3.11-slim
ARG CHROME=""
RUN if [ -n "$CHROME" ]; then apt-get update && apt-get install --yes --no-install-recommends chromium-headless-shell \
    && rm -rf /var/lib/apt/lists/*; fi
RUN useradd --system --uid 10001 --no-create-home --home-dir /var/lib/taskhub taskhub \
    && install --directory --owner taskhub --group taskhub --mode 0700 /var/lib/taskhub
COPY --from=build /opt/venv /opt/venv
WORKDIR /opt/taskhub
COPY . .
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 TASKHUB_HOME=/var/lib/taskhub
RUN python -m compileall -q .
USER taskhub
VOLUME /var/lib/taskhub
EXPOSE 8000
CMD ["python", "manage.py", "up", "--host", "0.0.0.0"]
