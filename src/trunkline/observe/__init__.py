"""Observability: logs, metrics for Prometheus and OpenTelemetry, and a dashboard."""
