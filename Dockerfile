# The image of Tillwatch: one binary, the alert rules, and a `wget` for health checks. No shell, no package manager, no
# root. The embedded ClickHouse is not in it: a container uses a server (`[store] kind = "clickhouse"`).

# The version is rust-toolchain.toml's; a test keeps them equal.
FROM rust:1.95.0-slim-bookworm AS build
# As it is: rust-toolchain.toml would have rustup fetch what only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# What cargo fetched and compiled stays in the builder's cache, so the binary is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin tillwatch \
    && cp target/release/tillwatch /tillwatch \
    && strip /tillwatch \
    && mkdir /data

# Static; called as `wget` it is wget and nothing else.
FROM busybox:1.37.0-musl AS tools

# glibc, libgcc, certificate authorities, time zones, the user `nonroot` (65532). It has no version tags: the digest
# is what pins it.
FROM gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f
LABEL org.opencontainers.image.title="Tillwatch" \
      org.opencontainers.image.description="Verifies payment webhooks, loses none, pages when money stops flowing" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=tools /bin/busybox /usr/bin/wget
COPY --from=build /tillwatch /usr/bin/tillwatch
COPY rules /etc/tillwatch/rules
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /data /var/lib/tillwatch
ENV TILLWATCH_CONFIG=/etc/tillwatch/tillwatch.toml \
    TILLWATCH_DATA_DIR=/var/lib/tillwatch
USER 65532:65532
# Providers, operators.
EXPOSE 8080 9090
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tillwatch"]
CMD ["--help"]
