"""Asking versions that are not live: predictions on any of them, logged requests again, and where an answer changed."""
