# The HTTP routes and the worker: `docker run … qero serve`, `docker run … qero worker`.
FROM python:3.13-slim AS build
WORKDIR /build
COPY pyproject.toml README.md requirements.lock ./
COPY qero qero
COPY supabase supabase
# The versions that were tested, of the packages that serving needs and no others.
RUN grep -oE '^[a-z0-9._-]+==[^ ;]+' requirements.lock > constraints.txt \
 && python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --constraint constraints.txt '.[http]'

FROM python:3.13-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PORT=8000
RUN useradd --system --create-home --home-dir /home/qero qero
USER qero
WORKDIR /home/qero
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/healthz')"]
STOPSIGNAL SIGTERM
# One process a core: WEB_CONCURRENCY. Everything else comes from the environment too.
CMD ["qero", "serve", "--host", "0.0.0.0"]
