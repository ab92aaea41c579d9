"""From a published run to what an endpoint answers with: gates, the decision, and the ledger of decisions."""
