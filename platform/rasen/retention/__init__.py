"""What is kept and what goes: a plan with reasons, and the removal that follows it in two steps a day apart."""
