"""Many calls at once against a house of our own, in real time, and what they cost.

generator processes ──ESL, UDP──▶ listeners ──▶ Redis ──▶ workers ──▶ provider (rig)
    each call's turns, as heard      │             │         │            stated delays
                                     ▼             ▼         ▼
             /metrics, call logs, queues' ages, /proc ──▶ figures ──▶ verdict, JSON, page
"""
