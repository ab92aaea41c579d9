"""Alerts: what happened, told to the people whom it concerns.

Nobody who works tells anything. Steps, runner, function and serving write their records as ever, and one *notifier*
reads the store behind them, keeps incidents and an outbox in a file of its own, and sends. So no alert can delay or
fail a run, a decision or an answer, and a notifier that was away tells later what it has missed.
"""
