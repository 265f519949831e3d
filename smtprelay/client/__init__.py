"""The send API: `AsyncRelay`, and `Relay`, which is the same for callers without an event loop.

Import it from `smtprelay`.
"""
