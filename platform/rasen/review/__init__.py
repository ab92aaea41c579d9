"""Reading a change of notebooks: their `.py` twins (`rasen export`), and the page of a review (`rasen review`)."""

from rasen.review.page import render_comparison, render_page

__all__ = ["render_comparison", "render_page"]
