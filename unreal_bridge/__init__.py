"""Live faces for engines and avatars: packets (pure functions), targets (clock and socket), receivers.

Protocols: livelink, ue56, vmc, ifacialmocap, vts, openseeface, with `wire`, `osc` and `face` below them. Sending:
`pose` (a frame on its way), `clock`, `lanes` (one a target), `targets` (addresses). Receiving: `receive`. MetaHuman:
`metahuman`.
"""
