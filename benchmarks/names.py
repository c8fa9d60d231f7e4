"""What the processes of a benchmark agree on: names, cores, and secrets that open nothing."""

HAND_WRITTEN = "hand-written"
CONTROL = "control"  # the services' own port: who was asked how often
SERVED_ON, ASKED_FROM = 0, 1  # cores: the servers on one, the load and the services on the other

JWT_SECRET = "a-benchmark-signs-in-with-these-words-0001"  # noqa: S105
SERVICE_SECRETS = {
    name: f"a-benchmark-asks-{name}-with-these-words"
    for name in ("refund-engine", "integrations", "cost-docs", "stripe")
}
