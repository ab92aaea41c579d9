"""Where a message leads: addresses of the prediction service, where the operator has said under which it is reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Links:
    """Addresses for messages.

    Args:
        public_url: Where people reach the prediction service, `""` when nobody said.
    """

    public_url: str = ""

    def of_endpoint(self, endpoint: str) -> list[str]:
        """Return the page on which an endpoint can be tried."""
        return [f"{self.public_url.rstrip('/')}/console#{endpoint}"] if self.public_url and endpoint else []
