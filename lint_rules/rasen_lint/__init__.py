"""The notebook linter behind `rasen lint`."""
