FROM python:3.12-slim

# For a machine with an NVIDIA GPU: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 TEALEAVES_DATA=/data
WORKDIR /app

COPY requirements.txt .
RUN pip install --extra-index-url "$TORCH_INDEX" -r requirements.txt

COPY . .

# Not root. A volume that is mounted on /data takes over its owner.
RUN useradd --uid 10001 --create-home tealeaves && install -d -o tealeaves -g tealeaves -m 700 /data
USER tealeaves
VOLUME /data
EXPOSE 8000

CMD ["python", "-m", "gunicorn", "--worker-class", "gthread", "--workers", "2", "--threads", "4", "--preload", \
     "--no-control-socket", "--bind", "0.0.0.0:8000", "labelapp.config.wsgi:application"]
