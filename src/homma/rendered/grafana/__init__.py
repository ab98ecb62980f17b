"""Grafana's dashboards. Needs grafana-foundation-sdk, which only those have who work on homma."""
