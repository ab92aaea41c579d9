"""The prediction service: a supervisor, its workers, and the FastAPI app they answer with."""

__all__: list[str] = []
