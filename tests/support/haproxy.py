# SPDX-License-Identifier: MIT
"""What the configurations of HAProxy in tests have in common."""

DEFAULTS = """
defaults
    mode tcp
    timeout connect 30s
    timeout client 60s
    timeout server 60s
"""
