"""Grafana's dashboards. Needs grafana-foundation-sdk, a development dependency."""
