# One port before any number of replicas of the service. Build it at the top of the checkout:
#   docker build -f docker/gateway.Dockerfile -t lrsearch-gateway .
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${DEBIAN_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends haproxy \
    && rm -rf /var/lib/apt/lists/*
COPY docker/gateway.cfg /etc/haproxy/haproxy.cfg

USER haproxy
# Addresses of reverse proxies that are believed: none that could connect.
ENV FORWARDED_ALLOW_IPS=127.0.0.1
EXPOSE 8000
# Stop when what has been begun is done.
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=2s --timeout=5s --start-period=30s CMD \
    ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; read -r _ status _ <&3; [ \"$status\" = 200 ]"]
CMD ["haproxy", "-db", "-f", "/etc/haproxy/haproxy.cfg"]
