# The page of `python -m spacy instructner serve`, or its API with --api-only, on the CPU, with
# the default weights and a pipeline that has learned no labels yet (configs/zeroshot.cfg).
# docs/how-to/serve.md says how to run it, and how to serve another pipeline.
FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PATH=/opt/venv/bin:$PATH \
    SPACY_INSTRUCTNER_CACHE=/opt/weights
RUN python -m venv /opt/venv
WORKDIR /source
COPY constraints.txt ./
# The build of torch for the CPU first: it is gigabytes smaller.
RUN grep '^torch==' constraints.txt > torch.txt \
    && python -m pip install --index-url https://download.pytorch.org/whl/cpu --requirement torch.txt
COPY LICENSE README.md pyproject.toml setup.cfg ./
COPY spacy_instructner ./spacy_instructner
RUN python -m pip install --constraint constraints.txt ".[serve]"
COPY configs/zeroshot.cfg ./
# The base weights lie in /opt/weights alone, for this pipeline and for others. Folders
# that were made aside are their owner's until somebody says otherwise.
RUN python -m spacy instructner fetch \
    && python -m spacy assemble zeroshot.cfg /opt/pipeline --components.instruction_ner.bundle adapter \
    && chmod -R a+rX /opt/pipeline /opt/weights

FROM python:3.13-slim

RUN useradd --create-home --uid 10001 instructner
COPY --from=build /opt /opt
# What is needed is here; nothing is fetched when it runs.
ENV HF_HUB_OFFLINE=1 \
    PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SPACY_INSTRUCTNER_CACHE=/opt/weights
USER 10001
WORKDIR /home/instructner
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=8)"]
ENTRYPOINT ["python", "-m", "spacy", "instructner", "serve"]
# A port can be published only of what listens on all of the container's addresses. Who
# reaches it is decided by `docker run --publish`.
CMD ["/opt/pipeline", "--host", "0.0.0.0"]
